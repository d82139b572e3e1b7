"""A large object over TCP, against an HTTP server that sends files by sendfile."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

from blobs import MIB
from figures import Figure
from http_peer import read
from measure import ratio, seconds
from scene import BLOB, Scene, free_port, read_speed, speeds

PEER = str(Path(__file__).with_name("http_peer.py"))


def figures(scene: Scene) -> Iterator[Figure]:
    bus = scene.connect(scene.tcp, "off")
    mib, port = scene.sizes.blob_mib, free_port()
    scene.child(PEER, scene.folder / "data", port)
    http = HTTPConnection("127.0.0.1", port)

    def theirs() -> float:
        return mib * MIB / seconds(lambda: read(http, BLOB))

    a, b, r = ratio(lambda: read_speed(bus), theirs, scene.sizes.rounds)
    http.close()
    what = f"read {mib} MiB over TCP inline / HTTP (sendfile)"
    yield Figure(what, r, None, speeds(a, b))

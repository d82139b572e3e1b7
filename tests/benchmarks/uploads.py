"""Memory while 32 large uploads run at once, of all processes together."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from blobs import MIB, fill
from children import Child, serve
from figures import Figure, at_most
from measure import at_once, peak_growth_bytes
from scene import Scene

from storagebus.client import Client

UPLOADS = 32


def figures(scene: Scene) -> Iterator[Figure]:
    mib = scene.sizes.upload_mib
    processes = scene.processes
    with Child(__file__, scene.ipc) as client:
        client.ask(0)
        pids = [*processes, client.pid]
        growth = peak_growth_bytes(pids, lambda: client.ask(mib))
    scene.local.delete("/uploads")
    what = f"memory growth (PSS), {UPLOADS} uploads of {mib} MiB, all processes"
    yield Figure(what, growth / MIB, at_most(128), unit="MiB")


def main(endpoint: str) -> None:
    with Client(endpoint) as client:

        def upload(mib: int) -> float:
            return at_once(lambda number: fill(client, f"/uploads/{number}", mib), many)

        many = UPLOADS
        serve(upload)


if __name__ == "__main__":
    main(*sys.argv[1:])

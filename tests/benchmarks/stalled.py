"""The broker's memory while very many readers have stopped in mid-stream."""

from __future__ import annotations

import time
from collections.abc import Iterator

from blobs import MIB
from figures import Figure, at_most
from measure import pss_bytes
from scene import BLOB, Scene

SETTLE_S = 2.0


def figures(scene: Scene) -> Iterator[Figure]:
    client, count = scene.client, scene.sizes.stalled
    before = pss_bytes(scene.broker)
    readers = []
    try:
        for _ in range(count):
            reader = client.reader(BLOB)
            reader.read(1)
            readers.append(reader)
        time.sleep(SETTLE_S)
        growth = pss_bytes(scene.broker) - before
    finally:
        for reader in readers:
            reader.close()
    what = f"broker's memory growth, {count:,} stalled readers"
    yield Figure(what, growth / MIB, at_most(64), unit="MiB")

"""Processor time of a read: all processes together, against the driver in-process."""

from __future__ import annotations

import os
from collections.abc import Iterator

from blobs import drain
from figures import Figure, at_most
from measure import cpu_seconds, ratio
from scene import BLOB, Scene

from storagebus.drivers import StorageDriver

GIB = 1 << 30


def figures(scene: Scene) -> Iterator[Figure]:
    bus, own = scene.client, scene.local
    everybody = [os.getpid(), *scene.processes]
    a, b, r = ratio(
        lambda: per_gib(bus, everybody),
        lambda: per_gib(own, [os.getpid()]),
        scene.sizes.rounds,
    )
    what = "CPU seconds per GiB read, all processes, local bus / in-process"
    yield Figure(what, r, at_most(2), f"{a:.2f} / {b:.2f} s")


def per_gib(driver: StorageDriver, pids: list[int]) -> float:
    """Processor seconds per GiB read."""
    before = cpu_seconds(pids)
    count = drain(driver, BLOB)
    return (cpu_seconds(pids) - before) / count * GIB

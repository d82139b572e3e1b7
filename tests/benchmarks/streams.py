"""A large object through the local bus, against the same driver in-process."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure, at_least
from measure import ratio
from scene import Scene, read_speed, speeds, write_speed


def figures(scene: Scene) -> Iterator[Figure]:
    bus, own, sizes = scene.client, scene.local, scene.sizes
    mib = sizes.blob_mib
    a, b, r = ratio(lambda: read_speed(bus), lambda: read_speed(own), sizes.rounds)
    what = f"read {mib} MiB, local bus / in-process"
    yield Figure(what, r, at_least(0.90), speeds(a, b))
    a, b, r = ratio(
        lambda: write_speed(bus, mib), lambda: write_speed(own, mib), sizes.rounds
    )
    what = f"write {mib} MiB, local bus / in-process"
    yield Figure(what, r, at_least(0.85), speeds(a, b))

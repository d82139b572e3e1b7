"""Small reads from 32 threads at once."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure, at_least
from measure import ratio, threads_rate
from scene import SMALL, Scene, rates

THREADS = 32


def figures(scene: Scene) -> Iterator[Figure]:
    bus, rpc, sizes = scene.client, scene.peer, scene.sizes
    a, b, r = ratio(
        lambda: threads_rate(lambda: bus.get_content(SMALL), THREADS, sizes.for_s),
        lambda: threads_rate(lambda: rpc.get_content(SMALL), THREADS, sizes.for_s),
        sizes.rounds,
    )
    what = f"get_content of 1 KiB, {THREADS} threads, bus / gRPC"
    yield Figure(what, r, at_least(2.5), rates(a, b))

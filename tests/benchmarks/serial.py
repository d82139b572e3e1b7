"""One call after the other."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure, at_most
from measure import median_of_calls, ratio
from scene import SMALL, Scene, times


def figures(scene: Scene) -> Iterator[Figure]:
    bus, rpc, sizes = scene.client, scene.peer, scene.sizes
    a, b, r = ratio(
        lambda: median_of_calls(lambda: bus.stat(SMALL), sizes.calls),
        lambda: median_of_calls(lambda: rpc.stat(SMALL), sizes.calls),
        sizes.rounds,
    )
    yield Figure("serial stat, median time, bus / gRPC", r, at_most(0.8), times(a, b))

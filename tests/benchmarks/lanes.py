"""A large object through a lane of memory, forced, against gRPC over a Unix socket."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure
from scene import Scene
from tcp import against


def figures(scene: Scene) -> Iterator[Figure]:
    bus = scene.connect(scene.ipc, "memory")
    yield from against(scene, bus, scene.peer, "through a memory lane / gRPC", 3, 2)

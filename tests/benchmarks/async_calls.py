"""Small reads from one event loop, 64 in flight; each side's client in a process of
its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from children import Child, serve
from figures import Figure, at_least
from grpc_peer import AsyncChannel
from measure import ratio
from scene import SMALL, Scene, rates

from storagebus.client import AsyncClient

IN_FLIGHT = 64


def figures(scene: Scene) -> Iterator[Figure]:
    _ = scene.client
    sizes = scene.sizes
    with (
        Child(__file__, "bus", scene.ipc) as ours,
        Child(__file__, "grpc", scene.grpc[0]) as theirs,
    ):
        a, b, r = ratio(
            lambda: float(ours.ask(sizes.for_s)),
            lambda: float(theirs.ask(sizes.for_s)),
            sizes.rounds,
        )
    what = f"get_content of 1 KiB, async, {IN_FLIGHT} in flight, bus / grpc.aio"
    yield Figure(what, r, at_least(4), rates(a, b))


async def rate(get: Callable[[str], Awaitable[bytes]], for_s: float) -> float:
    """Calls a second."""
    start = time.perf_counter()
    done = 0

    async def task() -> None:
        nonlocal done
        while time.perf_counter() - start < for_s:
            await get(SMALL)
            done += 1

    await asyncio.gather(*(task() for _ in range(IN_FLIGHT)))
    return done / (time.perf_counter() - start)


def main(kind: str, address: str) -> None:
    async def open_client() -> Any:
        return (AsyncClient if kind == "bus" else AsyncChannel)(address)

    with asyncio.Runner() as runner:
        client = runner.run(open_client())

        async def run(for_s: float) -> float:
            return await rate(client.get_content, for_s)

        serve(lambda for_s: runner.run(run(for_s)))
        runner.run(client.close())


if __name__ == "__main__":
    main(*sys.argv[1:])

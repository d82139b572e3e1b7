"""The throughput of all streams together, with very many against with few."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

from blobs import MIB, fill
from children import Child, serve
from figures import Figure, at_least
from measure import ratio
from scene import Scene, speeds

from storagebus.client import AsyncClient

FEW = 8
STREAM_MIB = 4
"""Of each of the many; the few share as many bytes."""
PATH = "/streams"
ROUNDS_MAX = 3


def figures(scene: Scene) -> Iterator[Figure]:
    many = scene.sizes.streams
    _ = scene.client
    long = many * STREAM_MIB // FEW
    fill(scene.local, PATH, long)
    with Child(__file__, scene.ipc) as client:
        a, b, r = ratio(
            lambda: float(client.ask([many, STREAM_MIB * MIB])),
            lambda: float(client.ask([FEW, long * MIB])),
            min(ROUNDS_MAX, scene.sizes.rounds),
        )
    scene.local.delete(PATH)
    what = f"streams at once: throughput with {many:,} / with {FEW}"
    yield Figure(what, r, at_least(0.7), speeds(a, b))


async def speed(client: AsyncClient, streams: int, length: int) -> float:
    """Bytes a second of so many streams together, that all are open at once.

    The time that it takes to open them counts.
    """
    start = time.perf_counter()
    go = asyncio.Event()
    opened = 0

    async def read() -> int:
        nonlocal opened
        async with client.reader(PATH, length=length) as stream:
            count = len(await stream.read(1))
            opened += 1
            if opened == streams:
                go.set()
            await go.wait()
            while piece := await stream.read(MIB):
                count += len(piece)
            return count

    tasks = [asyncio.create_task(read()) for _ in range(streams)]
    count = sum(await asyncio.gather(*tasks))
    if count != streams * length:
        raise SystemExit("a stream was cut short")
    return count / (time.perf_counter() - start)


def main(endpoint: str) -> None:
    client = AsyncClient(endpoint)
    with asyncio.Runner() as runner:
        serve(lambda asked: runner.run(speed(client, *asked)))
        runner.run(client.close())


if __name__ == "__main__":
    main(*sys.argv[1:])

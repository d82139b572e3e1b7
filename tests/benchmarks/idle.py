"""The broker's memory with very many clients that have nothing to do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack

from blobs import MIB
from children import Child, serve
from figures import Figure, at_most
from measure import pss_bytes
from scene import SMALL, Scene

from storagebus.broker.filelimit import raise_file_limit
from storagebus.client import AsyncClient

PROCESSES = 5
AT_ONCE = 50
"""Clients of one process that connect at the same time."""


def figures(scene: Scene) -> Iterator[Figure]:
    count = scene.sizes.idle
    before = pss_bytes(scene.broker)
    with ExitStack() as ends:
        for number in range(PROCESSES):
            share = count // PROCESSES + (number < count % PROCESSES)
            child = ends.enter_context(Child(__file__, scene.ipc))
            if child.ask(share) != share:
                raise SystemExit("not all clients could connect")
        growth = pss_bytes(scene.broker) - before
    what = f"broker's memory growth, {count:,} idle clients"
    yield Figure(what, growth / MIB, at_most(200), unit="MiB")


def main(endpoint: str) -> None:
    raise_file_limit()
    clients: list[AsyncClient] = []

    async def connect(count: int) -> int:
        while len(clients) < count:
            some = min(AT_ONCE, count - len(clients))
            new = [AsyncClient(endpoint) for _ in range(some)]
            clients.extend(new)
            await asyncio.gather(*(client.stat(SMALL) for client in new))
        return len(clients)

    with asyncio.Runner() as runner:
        serve(lambda count: runner.run(connect(count)))


if __name__ == "__main__":
    main(*sys.argv[1:])

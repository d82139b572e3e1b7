"""A process that passes TCP connections on, each byte so much later: a long line.

python delay.py PORT MILLISECONDS       prints the port that it listens on

Bytes that follow closely follow closely on the other side too: it is the way that is
long, not narrow.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from children import say

PIECE_BYTES = 256 << 10
WAITING_BYTES_MAX = 64 << 20


async def _pass_on(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay_s: float
) -> None:
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(
        WAITING_BYTES_MAX // PIECE_BYTES
    )
    loop = asyncio.get_running_loop()

    async def read() -> None:
        while data := await source.read(PIECE_BYTES):
            await waiting.put((loop.time() + delay_s, data))
        await waiting.put((loop.time() + delay_s, b""))

    reading = asyncio.create_task(read())
    try:
        while True:
            at, data = await waiting.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            if not data:
                return
            sink.write(data)
            await sink.drain()
    finally:
        reading.cancel()
        sink.close()


async def main(port: int, delay_s: float) -> None:
    async def connected(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        to, back = sink, source
        there = await asyncio.open_connection("127.0.0.1", port, limit=PIECE_BYTES)
        with contextlib.suppress(OSError):
            await asyncio.gather(
                _pass_on(back, there[1], delay_s), _pass_on(there[0], to, delay_s)
            )

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=PIECE_BYTES)
    say(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 2000))

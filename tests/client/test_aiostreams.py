"""client/aiostreams.py: what a real bus (test_aio.py) does not bring about at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from storagebus.client.aiostreams import AsyncReader
from storagebus.drivers.errors import InvalidStateError, StorageError, UnavailableError


class Pieces:
    """A download of some pieces; an error among them is raised, None hangs."""

    identity = None
    file = None
    is_fleeting = False

    def __init__(self, *pieces: bytes | StorageError | None) -> None:
        self.pieces = list(pieces)
        self.closed = False

    async def open(self) -> None:
        """Nothing to wait for."""

    async def piece(self) -> bytes | None:
        if not self.pieces:
            return None
        piece = self.pieces.pop(0)
        if piece is None:
            await asyncio.sleep(60)
        if isinstance(piece, StorageError):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True


def reader_of(pieces: Pieces) -> AsyncReader:
    async def make() -> Any:
        return pieces

    return AsyncReader("/a", make, lambda: "acme")


def read_on(stream: AsyncReader) -> Coroutine[Any, Any, object]:
    return stream.read(4)


def read_into(stream: AsyncReader) -> Coroutine[Any, Any, object]:
    return stream.readinto(bytearray(4))


@pytest.mark.parametrize("read", [read_on, read_into])
def test_a_read_that_is_broken_off_leaves_no_silent_gap(
    read: Callable[[AsyncReader], Coroutine[Any, Any, object]],
) -> None:
    async def work(breaks: StorageError | None) -> None:
        pieces = Pieces(b"ab", breaks, b"cdef")
        async with reader_of(pieces) as stream:
            with pytest.raises((TimeoutError, UnavailableError)):
                await asyncio.wait_for(read(stream), 0.05)
            for again in (read_on, read_into, lambda s: s.__anext__()):
                with pytest.raises(InvalidStateError, match="open the object again"):
                    await again(stream)
        assert pieces.closed

    asyncio.run(work(None))
    asyncio.run(work(UnavailableError("the worker was lost")))


@pytest.mark.parametrize("read", [read_on, read_into])
def test_a_read_that_had_nothing_yet_may_be_repeated(
    read: Callable[[AsyncReader], Coroutine[Any, Any, object]],
) -> None:
    async def work() -> None:
        async with reader_of(Pieces(None, b"abcd", b"ef")) as stream:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(stream), 0.05)
            assert await stream.read() == b"abcdef"

    asyncio.run(work())


def test_tasks_that_share_a_reader_take_turns_and_leave_nothing_out() -> None:
    async def work() -> None:
        # More pieces than one read needs, and a pause before each.
        pieces = Slow(*(bytes([n] * 3) for n in range(100)))
        stream = reader_of(pieces)

        async def read_all() -> list[bytes]:
            return [data async for data in iterate(stream)]

        got = await asyncio.gather(*(read_all() for _ in range(4)))
        taken = sorted(data for one in got for data in one)
        whole = b"".join(bytes([n] * 3) for n in range(100))
        assert taken == sorted(whole[n : n + 10] for n in range(0, 300, 10))

    asyncio.run(work())


async def iterate(stream: AsyncReader) -> AsyncIterator[bytes]:
    while data := await stream.read(10):
        yield data


class Slow(Pieces):
    """Lets other tasks have their turn before each piece."""

    async def piece(self) -> bytes | None:
        await asyncio.sleep(0)
        return await super().piece()


def test_a_reader_that_another_task_closes_leaves_nothing_open() -> None:
    class Reopens(Pieces):
        """A download that goes on elsewhere in the middle of a piece."""

        async def piece(self) -> bytes | None:
            await asyncio.sleep(0.05)
            self.closed = False
            return await super().piece()

    async def work() -> None:
        pieces = Reopens(b"abcd", b"efgh")
        stream = await reader_of(pieces)
        reading = asyncio.create_task(stream.read(4))
        await asyncio.sleep(0.01)
        await stream.close()
        with pytest.raises(InvalidStateError, match="closed"):
            await reading
        assert pieces.closed

    asyncio.run(work())

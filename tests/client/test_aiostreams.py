"""client/aiostreams.py: what a real bus (test_aio.py) does not bring about at will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
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

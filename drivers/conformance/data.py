"""Content that gives a faulty store away.

Every object gets its own random bytes, and every position depends on the seed and the
offset: a chunk that was swapped, repeated, kept from an earlier version or taken from
another object differs from what is expected, almost surely in its first byte or two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

from .expect import Failure, content

BLOCK_BYTES = 64 << 10


class Readable(Protocol):
    """The part of a reader that a comparison needs."""

    def read(self, size: int, /) -> bytes: ...


class Content:
    """Random bytes that are computed where they are needed, whatever their number.

    Args:
        seed: different seeds give unrelated bytes.
        size: how many bytes.
    """

    def __init__(self, seed: str, size: int) -> None:
        self._seed = seed
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset`, at most `length` of them."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        first = offset // BLOCK_BYTES
        blocks = [self._block(i) for i in range(first, (end - 1) // BLOCK_BYTES + 1)]
        start = offset - first * BLOCK_BYTES
        return b"".join(blocks)[start : start + end - offset]

    def pieces(self, length: int, offset: int = 0) -> Iterator[bytes]:
        """All bytes from `offset` on, in pieces of `length` bytes."""
        while offset < self.size:
            yield self.read(offset, length)
            offset += length

    def __bytes__(self) -> bytes:
        return self.read(0, self.size)

    def _block(self, index: int) -> bytes:
        length = min(BLOCK_BYTES, self.size - index * BLOCK_BYTES)
        label = f"{self._seed}:{index}".encode()
        return hashlib.shake_128(label).digest(length)


def compare_stream(
    stream: Readable, expected: Content, what: str, *, offset: int = 0, piece: int
) -> None:
    """Read a stream to its end, in constant memory, and compare it with the content.

    Args:
        stream: opened at `offset`.
        expected: the content of the whole object.
        what: what is read, for the failure.
        offset: where in the object the stream starts, in bytes.
        piece: bytes a read; each read must be full until the end.

    Raises:
        Failure: with the offset in the object of the first byte that differs.
    """
    while offset < expected.size:
        wanted = expected.read(offset, piece)
        content(stream.read(len(wanted)), wanted, what, offset=offset)
        offset += len(wanted)
    surplus = stream.read(1)
    if surplus:
        raise Failure(f"{what}: expected the end at byte {offset}, got more bytes")

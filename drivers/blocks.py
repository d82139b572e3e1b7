"""An object's bytes in memory: shared between uploads, objects and readers.

Bytes lie in blocks that never change, so an upload that continues an object shares
its blocks, and a reader keeps what it reads for as long as it needs it. Only the last
block, less than `BLOCK_BYTES` long, is copied when more is appended to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

BLOCK_BYTES = 1 << 20


class Blocks:
    """Bytes that do not change.

    Args:
        pieces: the bytes in order, none of them empty.
    """

    __slots__ = ("ends", "pieces", "size")

    def __init__(self, pieces: tuple[bytes, ...] = ()) -> None:
        self.pieces = pieces
        self.ends: list[int] = []
        self.size = 0
        for piece in pieces:
            self.size += len(piece)
            self.ends.append(self.size)

    def slices(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """The bytes from `start` to before `end`, without a copy."""
        at = bisect_right(self.ends, start)
        while start < end:
            piece = self.pieces[at]
            first = self.ends[at] - len(piece)
            last = min(end, self.ends[at])
            if start == first and last == self.ends[at]:
                yield piece
            else:
                yield memoryview(piece)[start - first : last - first]
            start = last
            at += 1

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`."""
        found = list(self.slices(start, min(end, self.size)))
        if len(found) == 1:
            return bytes(found[0])  # no copy of a whole block
        return b"".join(found)


class Appender:
    """Bytes that grow.

    Args:
        start: what it begins with.
    """

    __slots__ = ("_pieces", "_tail", "size")

    def __init__(self, start: Blocks) -> None:
        self._pieces = list(start.pieces)
        self._tail = bytearray()
        self.size = start.size
        if self._pieces and len(self._pieces[-1]) < BLOCK_BYTES:
            self._tail += self._pieces.pop()

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add a copy of the bytes at the end."""
        if len(data) >= BLOCK_BYTES:
            self._seal()
            self._pieces.append(bytes(data))
        else:
            self._tail += data
            if len(self._tail) >= BLOCK_BYTES:
                self._seal()
        self.size += len(data)

    def freeze(self) -> Blocks:
        """What has been added so far."""
        self._seal()
        return Blocks(tuple(self._pieces))

    def _seal(self) -> None:
        if self._tail:
            self._pieces.append(bytes(self._tail))
            self._tail = bytearray()

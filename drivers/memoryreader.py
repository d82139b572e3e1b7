"""A stream of an object's bytes in memory."""

from __future__ import annotations

from typing import Any

from .contract import Reader
from .refusals import reader_closed
from .shelf import Stored


class MemoryReader(Reader):
    """Reads one committed content, whatever becomes of its path.

    Args:
        stored: the object.
        path: its path, for errors.
        offset: first byte.
        length: bytes at most; None reads to the end.
    """

    def __init__(
        self, stored: Stored, path: str, offset: int, length: int | None
    ) -> None:
        self.identity = stored.identity
        self._content = stored.content
        self._path = path
        size = stored.content.size
        self._at = min(offset, size)
        self._end = size if length is None else min(self._at + length, size)

    def read(self, size: int | None = -1, /) -> bytes:
        start, end = self._advance(-1 if size is None else size)
        return self._content.read(start, end)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size if size >= 0 else 1 << 16)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        start, end = self._advance(len(view))
        filled = 0
        for piece in self._content.slices(start, end):
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def _advance(self, size: int) -> tuple[int, int]:
        if self.closed:
            raise reader_closed(self._path)
        start = self._at
        left = self._end - start
        self._at += left if size < 0 else min(size, left)
        return start, self._at

"""Reading a content, a piece at a time."""

from __future__ import annotations

from storagebus.drivers.contract import Reader

from .contents import Contents
from .database import Database
from .objects import Stored


class AcmeReader(Reader):
    """Bytes of one committed content, even when its path is overwritten meanwhile.

    It holds no connection between two reads: thousands may be open.

    Args:
        database: where it lies.
        contents: its pieces.
        stored: the object as it was when the reader was opened.
        offset: first byte.
        length: bytes at most; None for all.
    """

    def __init__(
        self,
        database: Database,
        contents: Contents,
        stored: Stored,
        offset: int,
        length: int | None,
    ) -> None:
        self.identity = self._content = stored.content
        self._database = database
        self._contents = contents
        self._path = stored.path
        self._at = offset
        self._end = stored.size
        if length is not None:
            self._end = min(stored.size, offset + length)

    def read(self, size: int | None = -1, /) -> bytes:
        """As many bytes as are asked for; fewer only at the end."""
        left = max(0, self._end - self._at)
        missing = left if size is None or size < 0 else min(size, left)
        parts: list[bytes] = []
        while missing:
            parts.append(self._next(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def _next(self, size: int) -> bytes:
        """At least one byte of the next piece, and at most `size`."""
        with self._database.snapshot(self._path) as connection:
            at, piece = self._contents.piece(
                connection, self._path, self._content, self._at
            )
        start = self._at - at
        data = piece[start : start + size]
        self._at += len(data)
        return data

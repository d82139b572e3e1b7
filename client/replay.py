"""What is kept of an upload to be sent again when its worker is lost.

Bytes that the caller can give again (a seekable file, a content in memory) cost
nothing; others are kept in memory until the worker says that they are durable, up to a
bound. A driver whose durable offset lags further behind than that (one that gathers
parts larger than the bound) cannot be continued from the middle of its lag: such a loss
is an error that carries the durable offset.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from ..broker.wire import CHUNK_BYTES_MAX, Payload
from ..drivers.errors import DataLossError

REPLAY_BYTES_MAX = 67_108_864
"""Bytes of one upload that are kept in memory: six parts of 10 MiB, as an s3 driver
has under way."""
REPLAY_BYTES_MIN = 8_388_608
"""The same however many uploads there are: what may be under way to a driver that
stores at once."""
REPLAY_BYTES_TOTAL = 268_435_456
"""The same for all uploads of a client, as long as that leaves each its least."""


class Source(Protocol):
    """Bytes that can be had again."""

    def again(self, offset: int, size: int) -> Payload:
        """Some of them.

        Raises:
            DataLossError: they are not there any more.
        """


class FileSource:
    """A seekable file, from where it stands when this is made.

    Args:
        file: a binary file object; its position is the reader's.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell()

    def again(self, offset: int, size: int) -> Payload:
        """Part of `Source`; the position stays where it is."""
        file, position = self._file, self._file.tell()
        file.seek(self._start + offset)
        pieces: list[bytes] = []
        left = size
        while left and (piece := file.read(left)):
            pieces.append(piece)
            left -= len(piece)
        file.seek(position)
        if left:
            raise DataLossError(
                "the file has become shorter since it was read", offset=offset
            )
        return b"".join(pieces)


class _Stretch:
    """A stretch of an upload that its source can give again."""

    __slots__ = ("offset", "size", "source")

    def __init__(self, source: Source, offset: int, size: int) -> None:
        self.source = source
        self.offset = offset
        self.size = size

    def __len__(self) -> int:
        return self.size


class Replay:
    """The last bytes of an upload, by their place in it.

    Args:
        start: place of the first byte that is to come.
        most: bytes that may be kept in memory; may be changed.

    Attributes:
        start: place of the first byte that can be sent again.
        end: place after the last.
        held: bytes kept in memory.
    """

    def __init__(self, start: int, most: int = REPLAY_BYTES_MAX) -> None:
        self.start = start
        self.end = start
        self.most = most
        self.held = 0
        self._durable = 0
        self._cleared_at: int | None = None
        self._pieces: deque[Payload | _Stretch] = deque()

    def add(self, piece: Payload, *, lasting: bool = False) -> None:
        """Keep a piece; above the bound, start anew behind it.

        Args:
            piece: the bytes.
            lasting: whether the caller keeps them anyway, so that they cost nothing.
        """
        if lasting:
            self.add_stretch(_Lasting(piece), 0, len(piece))
            return
        self.end += len(piece)
        if self._cleared_at == self._durable:
            self.start = self.end  # this driver keeps nothing, so nor do we
            return
        self._pieces.append(piece)
        self.held += len(piece)
        if self.held > self.most:
            # With a gap in front, the rest is of no use.
            self._cleared_at = self._durable
            self._pieces.clear()
            self.held = 0
            self.start = self.end

    def add_stretch(self, source: Source, offset: int, size: int) -> None:
        """Note bytes that a source can give again, from its `offset` on."""
        self.end += size
        last = self._pieces[-1] if self._pieces else None
        if (
            isinstance(last, _Stretch)
            and last.source is source
            and last.offset + last.size == offset
        ):
            last.size += size
        else:
            self._pieces.append(_Stretch(source, offset, size))

    def drop(self, durable: int) -> None:
        """Let go of the pieces that lie before the durable offset."""
        self._durable = durable
        while self._pieces and self.start + len(self._pieces[0]) <= durable:
            piece = self._pieces.popleft()
            self.start += len(piece)
            if not isinstance(piece, _Stretch):
                self.held -= len(piece)

    def since(self, place: int) -> Iterator[Payload]:
        """The bytes from a place on, in pieces that fit into a message.

        Raises:
            DataLossError: they are not kept any more.
        """
        if not self.start <= place <= self.end:
            raise DataLossError(
                f"the upload holds {place} bytes after a loss; only {self.start} to "
                f"{self.end} can be sent again",
                offset=place,
            )
        return self._since(place)

    def _since(self, place: int) -> Iterator[Payload]:
        at = self.start
        for piece in list(self._pieces):
            skip = max(0, place - at)
            at += len(piece)
            if skip >= len(piece):
                continue
            if isinstance(piece, _Stretch):
                for offset in range(skip, piece.size, CHUNK_BYTES_MAX):
                    size = min(CHUNK_BYTES_MAX, piece.size - offset)
                    yield piece.source.again(piece.offset + offset, size)
            else:
                yield memoryview(piece)[skip:] if skip else piece


class _Lasting:
    """A content that its owner keeps."""

    def __init__(self, content: Payload) -> None:
        self._content = memoryview(content)

    def again(self, offset: int, size: int) -> Payload:
        """Part of `Source`."""
        return self._content[offset : offset + size]


def replay_bytes(uploads: int) -> int:
    """What one of so many uploads of a client may keep in memory."""
    fair = REPLAY_BYTES_TOTAL // max(1, uploads)
    return min(REPLAY_BYTES_MAX, max(REPLAY_BYTES_MIN, fair))

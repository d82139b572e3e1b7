"""A reader that streams at first, and then reads ranges ahead in parallel."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, Protocol

from ..contract import Reader
from ..errors import DeadlineExceededError
from .clients import Clients
from .part_budget import PartBudget

RANGE_SECONDS_MAX = 900.0


class Stream(Protocol):
    """A range of an object that is read once, from its start."""

    def read(self, count: int) -> bytes | memoryview:
        """From 1 to `count` bytes; none only at the end."""
        ...

    def close(self) -> None:
        """Give the connection back. Harmless when repeated."""
        ...


class Source(Protocol):
    """An object to read from.

    Attributes:
        path: where it is.
        etag: what tells this content from any other.
    """

    path: str
    etag: str

    def stream(self, first: int, end: int) -> Stream:
        """The bytes from `first` to before `end`, as they are consumed."""
        ...

    def fetch(self, first: int, end: int) -> bytes:
        """The bytes from `first` to before `end`, all at once."""
        ...


@dataclass(frozen=True, slots=True)
class Ahead:
    """How all readers of a driver read ahead.

    Attributes:
        clients: whose threads fetch.
        budget: memory for ranges, shared by all streams.
        range_bytes: bytes of one range.
        ranges_max: ranges that one reader fetches at once.
        look_bytes: who has read more than this wants more than a look.
    """

    clients: Clients
    budget: PartBudget
    range_bytes: int
    ranges_max: int
    look_bytes: int


class RangeReader(Reader):
    """The bytes of one committed object.

    The first range is streamed. Once the caller has read more than a look, the
    following ranges are fetched in parallel, as far as the budget has memory for them;
    without any they are streamed one by one.

    Args:
        source: the object.
        stream: its first range.
        offset: first byte.
        streamed_to: offset behind the first range.
        end: offset behind the last byte.
        ahead: how to read ahead.
    """

    def __init__(
        self,
        source: Source,
        stream: Stream,
        offset: int,
        streamed_to: int,
        end: int,
        ahead: Ahead,
    ) -> None:
        self.identity = source.etag
        self._source = source
        self._stream = stream
        self._at = offset
        self._end = end
        self._streamed_to = self._scheduled = streamed_to
        self._how = ahead
        self._fetch_at = offset + min(ahead.look_bytes, streamed_to - offset)
        self._ahead: deque[tuple[Future[bytes], int]] = deque()
        self._piece = memoryview(b"")
        self._piece_reserved = 0

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._end - self._at
        wanted = left if size is None or size < 0 else min(size, left)
        pieces = []
        while wanted > 0:
            data = self.some(wanted)
            pieces.append(data)
            wanted -= len(data)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._at < self._end:
            data = self.some(len(view) - filled)
            view[filled : filled + len(data)] = data
            filled += len(data)
        return filled

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)

    def close(self) -> None:
        if self.closed:
            return
        self._stream.close()
        self._drop_piece()
        for future, reserved in self._ahead:
            if future.cancel():
                self._how.budget.release(reserved)
            else:
                # It holds its memory until it has ended.
                future.add_done_callback(
                    lambda _, reserved=reserved: self._how.budget.release(reserved)  # type: ignore[misc]
                )
        self._ahead.clear()
        super().close()

    def some(self, count: int) -> bytes | memoryview:
        """From 1 to `count` of the next bytes; there are some."""
        if self._at >= self._fetch_at:
            self._fetch_ahead()
        if not self._piece and self._at >= self._streamed_to:
            self._next_range()
        data: bytes | memoryview
        if self._piece:
            data = self._piece[:count]
            self._piece = self._piece[count:]
            if not self._piece:
                self._drop_piece()
        else:
            data = self._stream.read(count)
        self._at += len(data)
        return data

    def _next_range(self) -> None:
        """Go on with what was fetched, or else with a stream of the next range."""
        if self._ahead:
            future, reserved = self._ahead[0]
            try:
                data = future.result(RANGE_SECONDS_MAX)
            except FutureTimeoutError:
                raise DeadlineExceededError(
                    f"a range took longer than {RANGE_SECONDS_MAX:g} s",
                    path=self._source.path,
                    offset=self._at,
                ) from None
            self._ahead.popleft()
            self._piece, self._piece_reserved = memoryview(data), reserved
            return
        self._scheduled = min(self._at + self._how.range_bytes, self._end)
        self._stream = self._source.stream(self._at, self._scheduled)
        self._streamed_to = self._scheduled

    def _fetch_ahead(self) -> None:
        """Begin to fetch the ranges that follow, as many as may be."""
        how = self._how
        while self._scheduled < self._end and len(self._ahead) < how.ranges_max:
            first = self._scheduled
            end = min(first + how.range_bytes, self._end)
            if not how.budget.reserve(end - first):
                return
            future = how.clients.submit(self._source.fetch, first, end)
            self._ahead.append((future, end - first))
            self._scheduled = end

    def _drop_piece(self) -> None:
        self._piece = memoryview(b"")
        if self._piece_reserved:
            self._how.budget.release(self._piece_reserved)
            self._piece_reserved = 0

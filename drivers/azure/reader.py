"""The reader: ranges of a blob, the next ones fetched ahead."""

from __future__ import annotations

import itertools
import re
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from ..contract import Reader
from ..errors import (
    DataLossError,
    DeadlineExceededError,
    InvalidOffsetError,
    PathNotFoundError,
    PreconditionError,
)
from ..part_budget import PartBudget
from .client import PAUSE_SECONDS_MAX
from .container import Container, unquoted
from .errors import BrokenBodyError

FIRST_BYTES = 1 << 20
"""The first range, and any for which the budget has no memory, is no larger."""
VALIDATED_BYTES_MAX = 4 << 20
"""The service gives digests of ranges up to this size."""
RANGE_SECONDS_MAX = 900.0
ETAG = re.compile(r"[A-Za-z0-9]{1,128}")


class Source:
    """One blob to read from.

    Args:
        container: where it is.
        path: the object.
        etag: the ETag that it must have; "" takes what there is.
    """

    def __init__(self, container: Container, path: str, etag: str = "") -> None:
        self.container = container
        self.path = path
        self.etag = etag
        self.size = 0

    def first(self, offset: int, count: int) -> bytes:
        """The first range; the source has an ETag and a size afterwards.

        Raises:
            InvalidOffsetError: the blob has no byte at `offset`.
            PathNotFoundError: there is no blob.
            PreconditionError: it has another ETag.
        """
        stream, data = self._fetch(offset, count)
        self.etag = unquoted(stream.properties.etag)
        total = str(stream.properties.content_range).rpartition("/")[2]
        self.size = int(total) if total.isdigit() else offset + len(data)
        return data

    def fetch(self, offset: int, count: int) -> bytes:
        """A later range of the same content.

        Raises:
            DataLossError: the object has changed since the first.
        """
        try:
            data = self._fetch(offset, count)[1]
        except (PathNotFoundError, PreconditionError, InvalidOffsetError):
            raise DataLossError(
                "the object changed while it was read", path=self.path, offset=offset
            ) from None
        if len(data) != count:
            raise DataLossError(
                "the server ends the object too early",
                path=self.path,
                offset=offset + len(data),
            )
        return data

    def _fetch(self, offset: int, count: int) -> tuple[Any, bytes]:
        """One range; asked for again where its body breaks off or is damaged."""
        options = self.container.options
        for tries in itertools.count(1):
            try:
                return self._ask(offset, count)
            except (BrokenBodyError, DataLossError):
                if tries > options.max_retries:
                    raise
            time.sleep(min(PAUSE_SECONDS_MAX, tries * options.retry_delay))
        raise AssertionError("unreachable")

    def _ask(self, offset: int, count: int) -> tuple[Any, bytes]:
        stream = self.container.call(
            "download_blob",
            self.container.key(self.path),
            self.path,
            offset=offset,
            length=count,
            validate_content=self.container.options.validated
            and count <= VALIDATED_BYTES_MAX,
            if_match=self.etag,
        )
        with self.container.errors(self.path):
            data: bytes = stream.readall()
        return stream, data


class AzureReader(Reader):
    """The bytes of one committed object.

    When half of the first range is consumed, the caller wants more than a look, and
    the following ranges are fetched in parallel, as far as the budget has memory for
    them; without any they are fetched one by one.

    Args:
        source: the object, with its ETag.
        data: the first range.
        offset: of the first byte.
        end: offset behind the last byte.
        budget: memory for ranges, shared by all streams.
    """

    def __init__(
        self, source: Source, data: bytes, offset: int, end: int, budget: PartBudget
    ) -> None:
        options = source.container.options
        self.identity = source.etag
        self._source = source
        self._budget = budget
        self._range_bytes = options.readchunksize
        if options.validated:
            self._range_bytes = min(self._range_bytes, VALIDATED_BYTES_MAX)
        self._ahead_max = options.readmaxconcurrency
        self._at = offset
        self._end = end
        self._piece = memoryview(data)
        self._piece_reserved = 0
        self._scheduled = offset + len(data)
        self._fetch_at = offset + len(data) // 2
        self._ahead: deque[tuple[Future[bytes], int]] = deque()

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._end - self._at
        wanted = left if size is None or size < 0 else min(size, left)
        pieces = []
        while wanted > 0:
            data = self._some(wanted)
            pieces.append(bytes(data))
            wanted -= len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._at < self._end:
            data = self._some(len(view) - filled)
            view[filled : filled + len(data)] = data
            filled += len(data)
        return filled

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)

    def close(self) -> None:
        if self.closed:
            return
        self._drop_piece()
        for future, reserved in self._ahead:
            if future.cancel():
                self._budget.release(reserved)
            else:
                # It holds its memory until it has ended.
                future.add_done_callback(
                    lambda _, reserved=reserved: self._budget.release(reserved)  # type: ignore[misc]
                )
        self._ahead.clear()
        super().close()

    def _some(self, count: int) -> memoryview:
        """From 1 to `count` of the next bytes; there are some."""
        if self._at >= self._fetch_at:
            self._fetch_ahead()
        if not self._piece:
            self._next_range()
        data = self._piece[:count]
        self._piece = self._piece[count:]
        self._at += len(data)
        if not self._piece:
            self._drop_piece()
        return data

    def _next_range(self) -> None:
        """Go on with what was fetched ahead, or else fetch a little now."""
        if not self._ahead:
            count = min(FIRST_BYTES, self._range_bytes, self._end - self._at)
            self._scheduled = self._at + count
            self._piece = memoryview(self._source.fetch(self._at, count))
            return
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

    def _fetch_ahead(self) -> None:
        """Begin to fetch the ranges that follow, as many as may be."""
        while self._scheduled < self._end and len(self._ahead) < self._ahead_max:
            first = self._scheduled
            count = min(self._range_bytes, self._end - first)
            if not self._budget.reserve(count):
                return
            clients = self._source.container.clients
            future = clients.submit(self._source.fetch, first, count)
            self._ahead.append((future, count))
            self._scheduled = first + count

    def _drop_piece(self) -> None:
        self._piece = memoryview(b"")
        if self._piece_reserved:
            self._budget.release(self._piece_reserved)
            self._piece_reserved = 0


def open_reader(
    container: Container,
    budget: PartBudget,
    path: str,
    offset: int = 0,
    length: int | None = None,
    if_match: str | None = None,
) -> AzureReader:
    """A reader, as `StorageDriver.reader` has it."""
    # An identity of another form would not even be valid in the request.
    if if_match is not None and not ETAG.fullmatch(if_match):
        return _empty_reader(container, budget, path, offset, if_match)
    if length == 0:
        return _empty_reader(container, budget, path, offset, if_match)
    source = Source(container, path, if_match or "")
    wanted = FIRST_BYTES if length is None else min(FIRST_BYTES, length)
    try:
        data = source.first(offset, wanted)
    except InvalidOffsetError:
        return _empty_reader(container, budget, path, offset, if_match)
    except PreconditionError:
        # The service says so, too, of what is not there.
        if container.head(container.key(path), path) is None:
            raise PathNotFoundError(path=path) from None
        raise
    end = source.size if length is None else min(offset + length, source.size)
    return AzureReader(source, data, offset, end, budget)


def _empty_reader(
    container: Container,
    budget: PartBudget,
    path: str,
    offset: int,
    if_match: str | None,
) -> AzureReader:
    """A reader at or past the end, or of nothing: what there is must still fit."""
    found = container.head(container.key(path), path)
    if found is None:
        raise PathNotFoundError(path=path)
    if if_match is not None and if_match != found.etag:
        raise PreconditionError("the object has changed", path=path)
    source = Source(container, path, found.etag)
    return AzureReader(source, b"", offset, offset, budget)

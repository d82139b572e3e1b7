"""The reader: one range streamed as it is consumed, the next ones fetched ahead."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any

from ..contract import Reader
from ..errors import (
    DataLossError,
    DeadlineExceededError,
    PathNotFoundError,
    PreconditionError,
)
from ..part_budget import PartBudget
from .bucket import Bucket
from .ranges import Opened, RangeStream, Source

RANGE_SECONDS_MAX = 900.0
WHOLE_TRIES_MAX = 3
LOOK_BYTES = 1 << 20
"""Who has read more than this wants more than a look."""
ETAG = re.compile(r"[A-Za-z0-9+/=_.:-]{1,128}")


class S3Reader(Reader):
    """The bytes of one committed object.

    The range that was opened is streamed. Once the caller has read more than a look,
    the following ranges are fetched in parallel, as far as the budget has memory for
    them; without any they are streamed one by one.

    Args:
        source: the object, with its ETag.
        opened: the first range, which the server has begun to send.
        offset: first byte.
        end: offset behind the last byte.
        budget: memory for ranges, shared by all streams.
    """

    def __init__(
        self,
        source: Source,
        opened: Opened | None,
        offset: int,
        end: int,
        budget: PartBudget,
    ) -> None:
        options = source.bucket.options
        self.identity = source.etag
        self._source = source
        self._budget = budget
        self._range_bytes = options.readchunksize
        self._ahead_max = options.readmaxconcurrency
        self._at = offset
        self._end = end
        self._scheduled = min(offset + self._range_bytes, end)
        self._stream = RangeStream(source, offset, self._scheduled, opened)
        self._streamed_to = self._scheduled
        self._fetch_at = offset + min(LOOK_BYTES, self._range_bytes)
        self._ahead: deque[tuple[Future[bytes], int]] = deque()
        self._piece = memoryview(b"")
        self._piece_reserved = 0
        whole = opened is not None and offset == 0 and end == opened.size
        self._digest = opened.digest if opened is not None and whole else None
        self._md5 = hashlib.md5(usedforsecurity=False) if self._digest else None

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._end - self._at
        wanted = left if size is None or size < 0 else min(size, left)
        pieces = []
        while wanted > 0:
            data = self._some(wanted)
            pieces.append(data)
            wanted -= len(data)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

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
        self._stream.close()
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

    def _some(self, count: int) -> bytes | memoryview:
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
        self._check_digest(data)
        return data

    def _next_range(self) -> None:
        """Go on with what was fetched, or else with a stream of the next range."""
        if self._ahead:
            future, reserved = self._ahead.popleft()
            self._piece_reserved = reserved
            try:
                self._piece = memoryview(future.result(RANGE_SECONDS_MAX))
            except FutureTimeoutError:
                raise DeadlineExceededError(
                    f"a range took longer than {RANGE_SECONDS_MAX:g} s",
                    path=self._source.path,
                    offset=self._at,
                ) from None
            return
        self._scheduled = min(self._at + self._range_bytes, self._end)
        self._stream = RangeStream(self._source, self._at, self._scheduled)
        self._streamed_to = self._scheduled

    def _fetch_ahead(self) -> None:
        """Begin to fetch the ranges that follow, as many as may be."""
        while self._scheduled < self._end and len(self._ahead) < self._ahead_max:
            first = self._scheduled
            end = min(first + self._range_bytes, self._end)
            if not self._budget.reserve(end - first):
                return
            stream = RangeStream(self._source, first, end)
            future = self._source.bucket.clients.submit(stream.read_all)
            self._ahead.append((future, end - first))
            self._scheduled = end

    def _drop_piece(self) -> None:
        self._piece = memoryview(b"")
        if self._piece_reserved:
            self._budget.release(self._piece_reserved)
            self._piece_reserved = 0

    def _check_digest(self, data: bytes | memoryview) -> None:
        if self._md5 is None:
            return
        self._md5.update(data)
        if self._at == self._end and self._md5.hexdigest() != self._digest:
            raise DataLossError(
                "the bytes read are not those of the object",
                path=self._source.path,
                temporary=True,
            )


def open_reader(
    bucket: Bucket,
    budget: PartBudget,
    path: str,
    offset: int,
    length: int | None,
    if_match: str | None,
) -> S3Reader:
    """A reader, as `StorageDriver.reader` has it."""
    possible = if_match is None or ETAG.fullmatch(if_match)
    source = Source(bucket, path, if_match or "" if possible else "")
    opened = None
    if possible and length != 0:
        end = offset + bucket.options.readchunksize
        opened = source.open(offset, end if length is None else
                             min(end, offset + length))  # fmt: skip
    if opened is None:
        return _empty_reader(bucket, budget, path, offset, if_match)
    source.etag = opened.etag
    end = opened.size if length is None else min(offset + length, opened.size)
    return S3Reader(source, opened, offset, end, budget)


def read_whole(bucket: Bucket, path: str) -> bytes:
    """All of an object; what broke or was damaged on its way is read again."""
    for tries_left in reversed(range(WHOLE_TRIES_MAX)):
        source = Source(bucket, path)
        opened = source.open(0, None)
        if opened is None:
            return b""
        source.etag = opened.etag
        stream = RangeStream(source, 0, opened.size, opened)
        try:
            content = stream.read_all()
        finally:
            stream.close()
        md5 = partial(hashlib.md5, usedforsecurity=False)
        if opened.digest is None or md5(content).hexdigest() == opened.digest:
            return content
        if not tries_left:
            break
    raise DataLossError("the bytes read are not those of the object", path=path)


def _empty_reader(
    bucket: Bucket, budget: PartBudget, path: str, offset: int, if_match: str | None
) -> S3Reader:
    """A reader at or past the end, or of nothing: what there is must still fit."""
    found = bucket.head(path)
    if found is None:
        raise PathNotFoundError(path=path)
    if if_match is not None and if_match != found.etag:
        raise PreconditionError("the object has changed", path=path)
    return S3Reader(Source(bucket, path, found.etag), None, offset, offset, budget)

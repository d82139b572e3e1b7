"""The reader: ranges of a blob, the next ones fetched ahead."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

from ..errors import (
    DataLossError,
    InvalidOffsetError,
    PathNotFoundError,
    PreconditionError,
)
from ..objectstore.readahead import Ahead, RangeReader
from ..objectstore.store import unquoted
from .client import PAUSE_SECONDS_MAX
from .container import Container
from .errors import BrokenBodyError

FIRST_BYTES = 1 << 20
"""The first range, and any for which the budget has no memory, is no larger."""
VALIDATED_BYTES_MAX = 4 << 20
"""The service gives digests of ranges up to this size."""
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

    def stream(self, first: int, end: int) -> Pieces:
        """A later range as it is consumed."""
        return Pieces(self, first, end)

    def fetch(self, first: int, end: int) -> bytes:
        """A later range of the same content.

        Raises:
            DataLossError: the object has changed since the first.
        """
        try:
            data = self._fetch(first, end - first)[1]
        except (PathNotFoundError, PreconditionError, InvalidOffsetError):
            raise DataLossError(
                "the object changed while it was read", path=self.path, offset=first
            ) from None
        if len(data) != end - first:
            raise DataLossError(
                "the server ends the object too early",
                path=self.path,
                offset=first + len(data),
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
        answers: list[Any] = []
        try:
            stream = self.container.call(
                "download_blob",
                self.container.key(self.path),
                self.path,
                offset=offset,
                length=count,
                validate_content=self.container.options.validated
                and count <= VALIDATED_BYTES_MAX,
                if_match=self.etag,
                raw_response_hook=answers.append,
            )
            with self.container.errors(self.path):
                data: bytes = stream.readall()
        except BaseException:
            # The SDK leaves an answer open that it does not understand.
            for answer in answers:
                answer.http_response.internal_response.close()
            raise
        return stream, data


class Pieces:
    """A range that is fetched a little at a time, as it is consumed."""

    def __init__(self, source: Source, at: int, end: int, data: bytes = b"") -> None:
        self._source = source
        self._at = at + len(data)
        self._end = end
        self._data = memoryview(data)

    def read(self, count: int) -> memoryview:
        if not self._data and self._at < self._end:
            to = min(self._at + FIRST_BYTES, self._end)
            self._data = memoryview(self._source.fetch(self._at, to))
            self._at = to
        data = self._data[:count]
        self._data = self._data[count:]
        return data

    def close(self) -> None:
        self._data = memoryview(b"")
        self._at = self._end


def open_reader(
    container: Container,
    ahead: Ahead,
    path: str,
    offset: int = 0,
    length: int | None = None,
    if_match: str | None = None,
) -> RangeReader:
    """A reader, as `StorageDriver.reader` has it."""
    # An identity of another form would not even be valid in the request.
    if if_match is not None and not ETAG.fullmatch(if_match):
        return _empty_reader(container, ahead, path, offset, if_match)
    if length == 0:
        return _empty_reader(container, ahead, path, offset, if_match)
    source = Source(container, path, if_match or "")
    wanted = FIRST_BYTES if length is None else min(FIRST_BYTES, length)
    try:
        data = source.first(offset, wanted)
    except InvalidOffsetError:
        return _empty_reader(container, ahead, path, offset, if_match)
    except PreconditionError:
        # The service says so, too, of what is not there.
        if container.find(path) is None:
            raise PathNotFoundError(path=path) from None
        raise
    end = source.size if length is None else min(offset + length, source.size)
    got_to = offset + len(data)
    return RangeReader(
        source, Pieces(source, offset, got_to, data), offset, got_to, end, ahead
    )


def _empty_reader(
    container: Container,
    ahead: Ahead,
    path: str,
    offset: int,
    if_match: str | None,
) -> RangeReader:
    """A reader at or past the end, or of nothing: what there is must still fit."""
    found = container.find(path)
    if found is None:
        raise PathNotFoundError(path=path)
    if if_match is not None and if_match != found.etag:
        raise PreconditionError("the object has changed", path=path)
    source = Source(container, path, found.etag)
    nothing = Pieces(source, offset, offset)
    return RangeReader(source, nothing, offset, offset, offset, ahead)

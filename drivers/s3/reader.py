"""The reader: one range streamed as it is consumed, the next ones fetched ahead."""

from __future__ import annotations

import hashlib
import re
from functools import partial

from ..errors import DataLossError, PathNotFoundError, PreconditionError
from ..objectstore.readahead import Ahead, RangeReader
from .bucket import Bucket
from .ranges import Opened, RangeStream, Source

WHOLE_TRIES_MAX = 3
ETAG = re.compile(r"[A-Za-z0-9+/=_.:-]{1,128}")


class S3Reader(RangeReader):
    """The bytes of one committed object, checked where its digest is known.

    Args:
        source: the object, with its ETag.
        opened: the first range, which the server has begun to send; None for no bytes.
        offset: first byte.
        end: offset behind the last byte.
        ahead: how to read ahead.
    """

    def __init__(
        self, source: Source, opened: Opened | None, offset: int, end: int, ahead: Ahead
    ) -> None:
        streamed_to = min(offset + ahead.range_bytes, end)
        stream = RangeStream(source, offset, streamed_to, opened)
        super().__init__(source, stream, offset, streamed_to, end, ahead)
        whole = opened is not None and offset == 0 and end == opened.size
        self._digest = opened.digest if opened is not None and whole else None
        self._md5 = hashlib.md5(usedforsecurity=False) if self._digest else None

    def some(self, count: int) -> bytes | memoryview:
        data = super().some(count)
        if self._md5 is not None:
            self._md5.update(data)
            if self._at == self._end and self._md5.hexdigest() != self._digest:
                raise DataLossError(
                    "the bytes read are not those of the object",
                    path=self._source.path,
                    temporary=True,
                )
        return data


def open_reader(
    bucket: Bucket,
    ahead: Ahead,
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
        end = offset + ahead.range_bytes
        opened = source.open(offset, end if length is None else
                             min(end, offset + length))  # fmt: skip
    if opened is None:
        return _empty_reader(bucket, ahead, path, offset, if_match)
    source.etag = opened.etag
    end = opened.size if length is None else min(offset + length, opened.size)
    return S3Reader(source, opened, offset, end, ahead)


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
    bucket: Bucket, ahead: Ahead, path: str, offset: int, if_match: str | None
) -> S3Reader:
    """A reader at or past the end, or of nothing: what there is must still fit."""
    found = bucket.find(path)
    if found is None:
        raise PathNotFoundError(path=path)
    if if_match is not None and if_match != found.etag:
        raise PreconditionError("the object has changed", path=path)
    return S3Reader(Source(bucket, path, found.etag), None, offset, offset, ahead)

"""A range of an object as a stream that survives broken connections."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from ..errors import (
    DataLossError,
    InvalidOffsetError,
    PathNotFoundError,
    PreconditionError,
    StorageError,
)
from ..objectstore.store import quoted, unquoted
from .bucket import Bucket

BREAKS_MAX = 5
"""Times in a row that a body may break off without a byte in between."""
PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 1.0
PIECE_BYTES = 1 << 20
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Opened:
    """A range that the server has begun to send.

    Attributes:
        body: the SDK's stream.
        size: bytes of the whole object.
        etag: of the object, without quotes.
        digest: what the MD5 of the whole object must be, or None where the server
            does not say.
    """

    body: Any
    size: int
    etag: str
    digest: str | None


class Source:
    """One object to read from.

    Args:
        bucket: where it is.
        path: the object.
        etag: the ETag that it must have; "" takes what there is.
    """

    def __init__(self, bucket: Bucket, path: str, etag: str = "") -> None:
        self.bucket = bucket
        self.path = path
        self.etag = etag

    def open(self, first: int, end: int | None) -> Opened | None:
        """Begin to read from `first` up to, not including, `end`.

        Returns:
            None when the object has no byte at `first`.

        Raises:
            PathNotFoundError: there is no object.
            PreconditionError: it has another ETag.
        """
        arguments: dict[str, Any] = {}
        if first or end is not None:
            last = "" if end is None else end - 1
            arguments["Range"] = f"bytes={first}-{last}"
        if self.etag:
            arguments["IfMatch"] = quoted(self.etag)
        key = self.bucket.key(self.path)
        try:
            reply = self.bucket.call("get_object", self.path, Key=key, **arguments)
        except InvalidOffsetError:
            return None
        try:
            return self._opened(reply, first)
        except BaseException:
            reply["Body"].close()
            raise

    def _opened(self, reply: dict[str, Any], first: int) -> Opened:
        content_range = reply.get("ContentRange")
        if content_range:
            size = int(content_range.rpartition("/")[2])
        else:
            size = reply["ContentLength"]
            self._discard(reply["Body"], first)
        etag = unquoted(reply["ETag"])
        return Opened(reply["Body"], size, etag, self._digest(reply, etag))

    def stream(self, first: int, end: int) -> RangeStream:
        """A range as it is consumed."""
        return RangeStream(self, first, end)

    def fetch(self, first: int, end: int) -> bytes:
        """A range at once."""
        return self.stream(first, end).read_all()

    def _digest(self, reply: dict[str, Any], etag: str) -> str | None:
        encrypted = "SSECustomerAlgorithm" in reply or "aws:kms" in str(
            reply.get("ServerSideEncryption")
        )
        if encrypted or not self.bucket.etags_are_md5 or not _MD5.fullmatch(etag):
            return None
        return etag

    def _discard(self, body: Any, count: int) -> None:
        """Read past what a server sends that takes no ranges."""
        with self.bucket.errors(self.path):
            while count and (data := body.read(min(count, PIECE_BYTES))):
                count -= len(data)


class RangeStream:
    """Reads a range once, from its start to its end.

    When the connection breaks, the rest is asked for anew, of the same content: the
    server is told the ETag. Where it has changed, that is a `DataLossError`.

    Args:
        source: the object; with its ETag.
        first: offset of the first byte.
        end: offset behind the last byte.
        opened: the range, when the server has begun to send it.
    """

    def __init__(
        self, source: Source, first: int, end: int, opened: Opened | None = None
    ) -> None:
        self._source = source
        self._at = first
        self._end = end
        self._body = None if opened is None else opened.body
        self._breaks = 0

    def read(self, count: int) -> bytes:
        """At most `count` bytes; none only at the end.

        Raises:
            DataLossError: the object changed since the range was opened.
            StorageError: the server cannot be reached any more.
        """
        count = min(count, self._end - self._at)
        while count > 0:
            try:
                if self._body is None:
                    self._body = self._open()
                with self._source.bucket.errors(self._source.path):
                    data: bytes = self._body.read(count)
            except DataLossError:
                raise
            except StorageError as error:
                if self._body is None:
                    raise  # the SDK has tried often enough to open it
                self._break(error)
                continue
            if data:
                self._at += len(data)
                self._breaks = 0
                if self._at == self._end:
                    self.close()
                return data
            self._break(None)
        return b""

    def read_all(self) -> bytes:
        """All of the range at once."""
        pieces = []
        while data := self.read(self._end - self._at):
            pieces.append(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Give the connection back. Harmless when repeated."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def _open(self) -> Any:
        gone = DataLossError(
            "the object changed while it was read",
            path=self._source.path,
            offset=self._at,
        )
        try:
            opened = self._source.open(self._at, self._end)
        except (PathNotFoundError, PreconditionError):
            raise gone from None
        if opened is None:
            raise gone
        if opened.etag != self._source.etag:
            opened.body.close()
            raise gone
        return opened.body

    def _break(self, error: StorageError | None) -> None:
        """The body broke off: wait a little and go on, a bounded number of times."""
        self.close()
        self._breaks += 1
        if self._breaks > BREAKS_MAX:
            error = error or DataLossError("the server ends the object too early")
            error.path, error.offset = self._source.path, self._at
            raise error
        time.sleep(min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2**self._breaks))

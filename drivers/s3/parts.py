"""Sizes of parts, and sending parts in parallel."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from ..errors import (
    DeadlineExceededError,
    TooLargeError,
    UploadNotFoundError,
    UploadSupersededError,
)
from ..part_buffer import PartBuffer
from .bucket import OBJECT_TYPE, UPLOAD_MARK, Bucket, quoted, unquoted
from .parameters import MIB, PART_BYTES_MAX
from .record import PARTS_MAX, Part

OBJECT_BYTES_MAX = 5 << 40
PART_SHARE = 1_250
"""A part is at least this share of what precedes it."""
PART_SECONDS_MAX = 900.0


def part_bytes(offset: int, chunk_bytes: int) -> int:
    """How large the part at `offset` is to be.

    As large as `chunk_bytes` for the first 1,250 parts. After them it grows with what
    precedes it, so that 5 TiB fit into 10,000 parts though nobody says in advance how
    much will come: 9,600 parts when the first ones have 5 MiB.
    """
    grown = -(-offset // (PART_SHARE * MIB)) * MIB
    return min(PART_BYTES_MAX, max(chunk_bytes, grown))


def begin_multipart(bucket: Bucket, path: str, upload_id: str = "") -> str:
    """Open a multipart upload of the server's; returns its id.

    Args:
        bucket: where to.
        path: the object to be.
        upload_id: the upload that the object will say it came from.
    """
    metadata = {UPLOAD_MARK: upload_id} if upload_id else {}
    reply = bucket.call(
        "create_multipart_upload",
        path,
        Key=bucket.key(path),
        ContentType=OBJECT_TYPE,
        Metadata=metadata,
    )
    multipart: str = reply["UploadId"]
    return multipart


def complete_multipart(
    bucket: Bucket, path: str, multipart: str, parts: list[Part]
) -> None:
    """Make the parts the object's content."""
    named = [
        {"PartNumber": part.number, "ETag": quoted(part.etag)} for part in parts
    ]  # fmt: skip
    bucket.call(
        "complete_multipart_upload",
        path,
        Key=bucket.key(path),
        UploadId=multipart,
        MultipartUpload={"Parts": named},
    )


def abort_multipart(bucket: Bucket, path: str, multipart: str) -> None:
    """Drop a multipart upload and its parts."""
    bucket.call(
        "abort_multipart_upload", path, Key=bucket.key(path), UploadId=multipart
    )


def stored_parts(bucket: Bucket, path: str, multipart: str) -> list[Part]:
    """The parts that the server holds of a multipart upload."""
    arguments: dict[str, Any] = {}
    found: list[Part] = []
    for _ in range(PARTS_MAX):
        reply = bucket.call(
            "list_parts", path, Key=bucket.key(path), UploadId=multipart, **arguments
        )
        for part in reply.get("Parts", ()):
            number, size = part["PartNumber"], part["Size"]
            found.append(Part(number, unquoted(part["ETag"]), size))
        marker = reply.get("NextPartNumberMarker")
        if not reply.get("IsTruncated") or not marker:
            break
        arguments["PartNumberMarker"] = marker
    return found


class PartSender:
    """Sends the parts of one upload, several at once.

    Args:
        bucket: where to.
        path: the object to be.
        multipart: the server's id of the upload.
    """

    def __init__(self, bucket: Bucket, path: str, multipart: str) -> None:
        self._bucket = bucket
        self._path = path
        self._multipart = multipart
        self._at_once_max = bucket.options.multipartuploadmaxconcurrency
        self._sent: deque[tuple[Future[Part], PartBuffer]] = deque()
        self._stored: list[Part] = []
        self._lock = threading.Lock()

    @property
    def stored(self) -> list[Part]:
        """The parts that are stored, up to the first that is not yet."""
        self._collect()
        return self._stored

    def forget_stored(self) -> None:
        """Count the parts stored from now on; those so far are in a record."""
        self._stored = []

    def send(self, number: int, buffer: PartBuffer) -> None:
        """Send a part; waits while as many as allowed are under way.

        Args:
            number: one more than the last one's.
            buffer: the bytes; belongs to the sender from now on.

        Raises:
            StorageError: of this or an earlier part.
        """
        if number > PARTS_MAX:
            buffer.close()
            raise TooLargeError(
                f"more than {PARTS_MAX} parts: raise 'chunksize'", path=self._path
            )
        try:
            self._wait_for_a_place()
        except BaseException:
            buffer.close()
            raise
        future = self._bucket.clients.submit(self._upload, number, buffer)
        with self._lock:
            self._sent.append((future, buffer))

    def send_last(self, number: int, buffer: PartBuffer) -> Part:
        """Send the last part, after all others; its buffer stays the caller's."""
        while self._sent:
            self._wait()
        return self._put(number, buffer)

    def drain(self) -> None:
        """Wait for all parts.

        Raises:
            StorageError: of the first part that failed.
        """
        while self._sent:
            self._wait()

    def stop(self) -> None:
        """Give up the parts that are not under way, and wait for the others."""
        for future, buffer in self._sent:
            if future.cancel():
                buffer.close()
        for future, _ in self._sent:
            if not future.cancelled():
                try:
                    future.exception(PART_SECONDS_MAX)
                except FutureTimeoutError:
                    continue
        self._sent.clear()

    def _collect(self) -> None:
        """Take note of the parts that are stored, as far as there is no gap."""
        with self._lock:
            while self._sent:
                future, _ = self._sent[0]
                if not future.done() or future.cancelled() or future.exception():
                    return
                self._stored.append(future.result())
                self._sent.popleft()

    def _wait_for_a_place(self) -> None:
        """Wait until fewer parts than allowed are under way.

        Raises:
            StorageError: of the first part that failed.
        """
        while True:
            self._collect()
            running = {future for future, _ in self._sent if not future.done()}
            for future, _ in self._sent:
                if future.done():
                    future.result()
            if len(running) < self._at_once_max:
                return
            done, _ = wait(running, PART_SECONDS_MAX, return_when=FIRST_COMPLETED)
            if not done:
                raise self._too_long()

    def _wait(self) -> None:
        """Wait for the oldest part under way."""
        future, _ = self._sent[0]
        try:
            future.result(PART_SECONDS_MAX)
        except FutureTimeoutError:
            raise self._too_long() from None
        self._collect()

    def _too_long(self) -> DeadlineExceededError:
        return DeadlineExceededError(
            f"a part took longer than {PART_SECONDS_MAX:g} s", path=self._path
        )

    def _upload(self, number: int, buffer: PartBuffer) -> Part:
        try:
            return self._put(number, buffer)
        finally:
            buffer.close()

    def _put(self, number: int, buffer: PartBuffer) -> Part:
        try:
            reply = self._bucket.call(
                "upload_part",
                self._path,
                Key=self._bucket.key(self._path),
                UploadId=self._multipart,
                PartNumber=number,
                Body=buffer.body(),
            )
        except UploadNotFoundError:
            # Only another writer, or whoever dropped the upload, can have ended it.
            raise UploadSupersededError(
                "the upload has ended", path=self._path
            ) from None
        return Part(number, unquoted(reply["ETag"]), len(buffer))

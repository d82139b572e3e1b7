"""Copies that the server makes itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait

from ..errors import (
    DeadlineExceededError,
    PathNotFoundError,
    PreconditionError,
    UnsupportedMethodError,
)
from ..progress import step
from .bucket import OBJECT_TYPE, Bucket, Found, attempt, quoted, unquoted
from .listing import exists_below
from .parameters import COPY_BYTES_MAX, PART_BYTES_MIN
from .parts import (
    PART_SECONDS_MAX,
    abort_multipart,
    begin_multipart,
    complete_multipart,
)
from .record import PARTS_MAX, Part


def copy_object(bucket: Bucket, source: str, destination: str) -> None:
    """Copy an object; the destination changes whole or not at all.

    Raises:
        PathNotFoundError: no object at `source`.
        PreconditionError: the source changed meanwhile.
    """
    found = bucket.head(source)
    if found is None:
        # A HEAD does not say whether it is the bucket that is missing; this does.
        exists_below(bucket, source)
        raise PathNotFoundError(path=source)
    threshold = bucket.options.multipartcopythresholdsize
    if found.size <= max(min(threshold, COPY_BYTES_MAX), PART_BYTES_MIN):
        _copy_whole(bucket, source, found, destination)
        return
    try:
        _copy_in_parts(bucket, source, found, destination)
    except UnsupportedMethodError:
        # Some servers copy parts not at all, or not encrypted ones.
        if found.size > COPY_BYTES_MAX:
            raise
        _copy_whole(bucket, source, found, destination)


def _copy_whole(bucket: Bucket, source: str, found: Found, destination: str) -> None:
    bucket.call(
        "copy_object",
        source,
        Key=bucket.key(destination),
        CopySource={"Bucket": bucket.name, "Key": bucket.key(source)},
        CopySourceIfMatch=quoted(found.etag),
        MetadataDirective="REPLACE",
        ContentType=OBJECT_TYPE,
        Metadata={},
    )


def _copy_in_parts(bucket: Bucket, source: str, found: Found, destination: str) -> None:
    multipart = begin_multipart(bucket, destination)
    try:
        parts = copy_parts(bucket, source, found, destination, multipart, found.size)
        complete_multipart(bucket, destination, multipart, parts)
    except BaseException:
        attempt(lambda: abort_multipart(bucket, destination, multipart))
        raise


def copy_parts(
    bucket: Bucket,
    source: str,
    found: Found,
    destination: str,
    multipart: str,
    size: int,
) -> list[Part]:
    """Copy the beginning of an object into parts of a multipart upload.

    Args:
        bucket: where both are.
        source: the object.
        found: what is known of it; it must not change meanwhile.
        destination: the object to be.
        multipart: the server's id of its upload.
        size: bytes to copy.

    Raises:
        PreconditionError: the source changed meanwhile.
    """

    def copy(number: int, first: int, last: int) -> Part:
        reply = bucket.call(
            "upload_part_copy",
            source,
            Key=bucket.key(destination),
            UploadId=multipart,
            PartNumber=number,
            CopySource={"Bucket": bucket.name, "Key": bucket.key(source)},
            CopySourceIfMatch=quoted(found.etag),
            CopySourceRange=f"bytes={first}-{last}",
        )
        etag = unquoted(reply["CopyPartResult"]["ETag"])
        return Part(number, etag, last - first + 1)

    at_once_max = min(
        bucket.options.multipartcopymaxconcurrency, bucket.options.maxthreads
    )
    running: set[Future[Part]] = set()
    parts: list[Part] = []

    def collect() -> None:
        done, _ = wait(running, PART_SECONDS_MAX, return_when=FIRST_COMPLETED)
        if not done:
            raise DeadlineExceededError("a copied part took too long", path=source)
        running.difference_update(done)
        step()
        parts.extend(future.result() for future in done)

    try:
        spans = _spans(size, _chunk_bytes(bucket, found.size))
        for number, (first, last) in enumerate(spans, 1):
            if len(running) >= at_once_max:
                collect()
            running.add(bucket.clients.submit(copy, number, first, last))
        while running:
            collect()
    except BaseException:
        for future in running:
            future.cancel()
        wait(running, PART_SECONDS_MAX)
        raise
    # Not every server heeds CopySourceIfMatch.
    now = bucket.head(source)
    if now is None or now.etag != found.etag:
        raise PreconditionError("it changed while it was copied", path=source)
    return sorted(parts, key=lambda part: part.number)


def whole_parts(bucket: Bucket, size: int) -> int:
    """How many bytes of an object can be copied for more parts to follow: all, or all
    but an end that is too small to be a part."""
    rest = size % _chunk_bytes(bucket, size)
    return size - rest if rest < PART_BYTES_MIN else size


def _spans(size: int, chunk_bytes: int) -> Iterator[tuple[int, int]]:
    """First and last byte of each part."""
    for first in range(0, size, chunk_bytes):
        yield first, min(first + chunk_bytes, size) - 1


def _chunk_bytes(bucket: Bucket, size: int) -> int:
    """Bytes of a part of a copy; half of all part numbers stay free for an append."""
    least = -(-size // (PARTS_MAX // 2))
    return max(bucket.options.multipartcopychunksize, least)

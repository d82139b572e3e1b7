"""Copies that the server makes itself."""

from __future__ import annotations

from ..errors import PathNotFoundError, PreconditionError, UnsupportedMethodError
from ..objectstore.listing import exists_below
from ..objectstore.spans import Span, copy_spans, spans
from ..objectstore.store import OBJECT_TYPE, Found, attempt, quoted, unquoted
from .bucket import Bucket
from .parameters import COPY_BYTES_MAX, PART_BYTES_MIN
from .parts import abort_multipart, begin_multipart, complete_multipart
from .record import PARTS_MAX, Part


def copy_object(bucket: Bucket, source: str, destination: str) -> None:
    """Copy an object; the destination changes whole or not at all.

    Raises:
        PathNotFoundError: no object at `source`.
        PreconditionError: the source changed meanwhile.
    """
    found = bucket.find(source)
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

    def copy(span: Span) -> Part:
        reply = bucket.call(
            "upload_part_copy",
            source,
            Key=bucket.key(destination),
            UploadId=multipart,
            PartNumber=span.number,
            CopySource={"Bucket": bucket.name, "Key": bucket.key(source)},
            CopySourceIfMatch=quoted(found.etag),
            CopySourceRange=f"bytes={span.first}-{span.first + span.size - 1}",
        )
        etag = unquoted(reply["CopyPartResult"]["ETag"])
        return Part(span.number, etag, span.size)

    parts = copy_spans(
        bucket.clients,
        copy,
        spans(size, _chunk_bytes(bucket, found.size)),
        min(bucket.options.multipartcopymaxconcurrency, bucket.options.maxthreads),
        source,
    )
    # Not every server heeds CopySourceIfMatch.
    now = bucket.find(source)
    if now is None or now.etag != found.etag:
        raise PreconditionError("it changed while it was copied", path=source)
    return parts


def whole_parts(bucket: Bucket, size: int) -> int:
    """How many bytes of an object can be copied for more parts to follow: all, or all
    but an end that is too small to be a part."""
    rest = size % _chunk_bytes(bucket, size)
    return size - rest if rest < PART_BYTES_MIN else size


def _chunk_bytes(bucket: Bucket, size: int) -> int:
    """Bytes of a part of a copy; half of all part numbers stay free for an append."""
    least = -(-size // (PARTS_MAX // 2))
    return max(bucket.options.multipartcopychunksize, least)

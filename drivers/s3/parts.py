"""Sizes of parts, and the requests of a multipart upload."""

from __future__ import annotations

from typing import Any

from ..errors import UploadNotFoundError, UploadSupersededError
from ..objectstore.parameters import MIB
from ..objectstore.part_buffer import PartBuffer
from ..objectstore.store import OBJECT_TYPE, quoted, unquoted
from .bucket import UPLOAD_MARK, Bucket
from .parameters import PART_BYTES_MAX
from .record import PARTS_MAX, Part

OBJECT_BYTES_MAX = 5 << 40
PART_SHARE = 1_250
"""A part is at least this share of what precedes it."""


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


def upload_part(
    bucket: Bucket, path: str, multipart: str, number: int, buffer: PartBuffer
) -> Part:
    """Send one part.

    Raises:
        UploadSupersededError: the multipart upload has ended.
    """
    try:
        reply = bucket.call(
            "upload_part",
            path,
            Key=bucket.key(path),
            UploadId=multipart,
            PartNumber=number,
            Body=buffer.body(),
        )
    except UploadNotFoundError:
        # Only another writer, or whoever dropped the upload, can have ended it.
        raise UploadSupersededError("the upload has ended", path=path) from None
    return Part(number, unquoted(reply["ETag"]), len(buffer))

"""The record of an upload: what is stored of it, and where. Pure: bytes in and out.

A record is one line of JSON, and after it the tail: the bytes at the end of the upload
that are too few to be a part.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import DataLossError

VERSION = 1
PARTS_MAX = 10_000


class Stage(Enum):
    """How far an upload is.

    Attributes:
        OPEN: a writer is at work, or has vanished.
        KEPT: its writer was closed without a commit.
        COMMITTING: its writer is about to make it visible.
        DROPPED: somebody is removing it.
    """

    OPEN = "open"
    KEPT = "kept"
    COMMITTING = "committing"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Part:
    """One stored part.

    Attributes:
        number: its number in the multipart upload, from 1.
        etag: the server's name for its content, without quotes.
        size: bytes.
    """

    number: int
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """One step of an upload.

    Attributes:
        stage: how far it is.
        nonce: differs in every record ever made; tells one's own from another's.
        generation: how often the upload has been claimed, from 1.
        multipart: the server's id of the multipart upload; "" before there is one.
        parts: the stored parts, in order and without a gap.
        reserved: the owner may send parts up to this number without a new record.
        tail_at: number of the record that holds the tail; 0 without one.
        tail_size: bytes of the tail, which follow those of the parts.
        linked: whether the path's link to its kept upload may name this one.
    """

    stage: Stage
    nonce: str
    generation: int = 1
    multipart: str = ""
    parts: tuple[Part, ...] = ()
    reserved: int = 0
    tail_at: int = 0
    tail_size: int = 0
    linked: bool = False

    @property
    def durable(self) -> int:
        """Bytes that a claim of the upload starts from."""
        return sum(part.size for part in self.parts) + self.tail_size


def encode(record: Record, tail: bytes = b"") -> bytes:
    """A record, and the tail that it holds, as they are stored."""
    fields = {
        "version": VERSION,
        "stage": record.stage.value,
        "nonce": record.nonce,
        "generation": record.generation,
        "multipart": record.multipart,
        "parts": [[part.number, part.etag, part.size] for part in record.parts],
        "reserved": record.reserved,
        "tail_at": record.tail_at,
        "tail_size": record.tail_size,
        "linked": record.linked,
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n" + tail


def decode(stored: bytes) -> tuple[Record, bytes]:
    """The reverse of `encode`.

    Raises:
        DataLossError: these bytes are no record.
    """
    line, _, tail = stored.partition(b"\n")
    try:
        return _record(json.loads(line)), tail
    except (ValueError, KeyError, TypeError) as error:
        raise DataLossError(f"an upload's record is damaged ({error})") from None


def _record(fields: dict[str, Any]) -> Record:
    if fields["version"] != VERSION:
        raise ValueError(f"version {fields['version']!r}")
    record = Record(
        stage=Stage(fields["stage"]),
        nonce=str(fields["nonce"]),
        generation=_count(fields["generation"]),
        multipart=str(fields["multipart"]),
        parts=tuple(
            Part(_count(number), str(etag), _count(size))
            for number, etag, size in fields["parts"]
        ),
        reserved=_count(fields["reserved"]),
        tail_at=_count(fields["tail_at"]),
        tail_size=_count(fields["tail_size"]),
        linked=bool(fields["linked"]),
    )
    numbers = [part.number for part in record.parts]
    if numbers != sorted(set(numbers)) or len(numbers) > PARTS_MAX:
        raise ValueError("parts out of order")
    return record


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value

"""An upload's records as a chain: who may take the next step, with any number of hands.

The records of an upload are the objects ROOT~uploads/PATH/~ID/1, 2, 3 ... A record is
never changed. Each step (a claim, more parts, a close, a commit) is a new one, whose
number is one higher than what its author has seen. It counts only if

1. no object had that number: the server stores it with If-None-Match, and
2. a listing afterwards shows the author's former record, that very one, and none higher
   than its own.

So of two hands that saw the same state one goes on, and the other learns that it is
superseded. The second rule is for a hand that slept until the upload had ended and its
records were gone: the end removes all but the highest first, and that one last. Another
such hand may have made a new record with the number of this one's former.

A server without If-None-Match is asked whether the number is free, and afterwards, when
others had the time to write, whose record it holds. That leaves a window (a writer that
stalls between question and write for longer than `SETTLE_SECONDS`); docs say so.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from ..errors import (
    PreconditionError,
    UnavailableError,
    UnsupportedMethodError,
    UploadNotFoundError,
    UploadSupersededError,
)
from ..objectstore.store import attempt
from .bucket import Bucket
from .record import Record, Stage, decode, encode

CLAIM_RACES_MAX = 20
SETTLE_SECONDS = 0.25
_DIGITS = 8


class Fence(Enum):
    """What a server does with If-None-Match."""

    UNKNOWN = "unknown"
    HONOURED = "honoured"
    LACKING = "lacking"


class Fences:
    """Finds out, once a process, how the server of a bucket fences.

    Args:
        bucket: the bucket.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._fence = Fence.UNKNOWN

    def honoured(self) -> bool:
        """Whether the server stores nothing over what If-None-Match guards."""
        if self._fence is Fence.UNKNOWN:
            key = f"{self._bucket.uploads}~fence-{new_nonce()}"
            self._fence = self._try_twice(key)
            attempt(lambda: self._bucket.delete(key, None))
        return self._fence is Fence.HONOURED

    def _try_twice(self, key: str) -> Fence:
        try:
            self._bucket.put(key, b"", None, IfNoneMatch="*")
            self._bucket.put(key, b"", None, IfNoneMatch="*")
        except PreconditionError:
            return Fence.HONOURED
        except UnsupportedMethodError:
            pass
        return Fence.LACKING


class _Former(NamedTuple):
    """The record behind which a hand's next one comes.

    Attributes:
        number: its number.
        nonce: what tells it from another of that number.
        etag: the same, where it is known, as a listing says it.
    """

    number: int
    nonce: str
    etag: str


class Chain:
    """The records of one upload, as one hand sees them.

    Args:
        bucket: where they are.
        fences: what is known of the server.
        path: the object to be.
        upload_id: the upload.
    """

    def __init__(
        self, bucket: Bucket, fences: Fences, path: str, upload_id: str
    ) -> None:
        self.path = path
        self.upload_id = upload_id
        self.prefix = f"{bucket.uploads}{path[1:]}/~{upload_id}/"
        self._bucket = bucket
        self._fences = fences
        self._former = _Former(0, "", "")

    def begin(self, record: Record) -> int:
        """Store the first record of a new upload; returns its number."""
        etag = self._bucket.put(self._key(1), encode(record), self.path)
        self._former = _Former(1, record.nonce, etag)
        return 1

    def latest(self) -> tuple[int, Record] | None:
        """The last step, or None when the upload has ended or never was."""
        for _ in range(CLAIM_RACES_MAX):
            last = max(self._listed(), default=0)
            if not last:
                return None
            found = self.read(last)
            if found is not None:
                self._former = _Former(last, found[0].nonce, "")
                return last, found[0]
        raise UnavailableError("the upload is changing too fast", path=self.path)

    def read(self, number: int) -> tuple[Record, bytes] | None:
        """A record and the tail that it holds, or None when it is gone."""
        stored = self._bucket.get(self._key(number), self.path)
        return None if stored is None else decode(stored)

    def advance(self, number: int, record: Record, tail: bytes = b"") -> int:
        """Take the next step, as the one who took step `number`.

        Args:
            number: the author's last record.
            record: what holds from now on.
            tail: bytes for the new record to hold.

        Returns:
            The number of the new record.

        Raises:
            UploadSupersededError: somebody else has taken a step, or ended the upload.
        """
        following = number + 1
        etag = self._create(following, encode(record, tail), record.nonce)
        if etag is None:
            raise UploadSupersededError(path=self.path)
        listed = self._listed(number - 1)
        if sorted(listed) != [number, following] or not self._is_former(listed[number]):
            # Of an upload that has ended nothing else would remove this record.
            attempt(lambda: self._bucket.delete(self._key(following), self.path))
            raise UploadSupersededError(path=self.path)
        self._former = _Former(following, record.nonce, etag)
        return following

    def claim(self, stage: Stage = Stage.OPEN) -> tuple[int, Record]:
        """Take the upload over from whoever has it.

        Args:
            stage: `OPEN` to go on with it, `DROPPED` to remove it.

        Returns:
            The number of the new record, and the one that it is made from: what is
            stored so far.

        Raises:
            UploadNotFoundError: it has ended, or never was.
        """
        for _ in range(CLAIM_RACES_MAX):
            last = self.latest()
            if last is None or (
                last[1].stage is Stage.DROPPED and stage is not Stage.DROPPED
            ):
                raise UploadNotFoundError(path=self.path)
            number, record = last
            claimed = replace(
                record,
                stage=stage,
                nonce=new_nonce(),
                generation=record.generation + 1,
            )
            try:
                return self.advance(number, claimed), record
            except UploadSupersededError:
                continue
        raise UnavailableError("too many writers claim this upload", path=self.path)

    def erase(self, last: int) -> None:
        """Remove all records, the highest one last.

        Args:
            last: number of the highest.
        """
        former = [self._key(number) for number in range(1, last)]
        self._bucket.delete_keys(former, self.path)
        self._bucket.delete(self._key(last), self.path)

    def _key(self, number: int) -> str:
        return f"{self.prefix}{number:0{_DIGITS}}"

    def _listed(self, after: int = 0) -> dict[int, str]:
        """The numbers of the records above `after`, and their ETags."""
        start_after = self._key(after) if after else ""
        records: dict[int, str] = {}
        for key, found in self._bucket.entries(
            self.prefix, self.path, start_after=start_after
        ):
            name = key.removeprefix(self.prefix)
            # Not every server honours StartAfter.
            if found is not None and name.isdigit() and int(name) > after:
                records[int(name)] = found.etag
        return records

    def _is_former(self, etag: str) -> bool:
        """Whether a record that is listed is the one that was stored or read last."""
        number, nonce, known = self._former
        if known and etag == known:
            return True
        found = self.read(number)
        return found is not None and found[0].nonce == nonce

    def _create(self, number: int, content: bytes, nonce: str) -> str | None:
        """Store a record under a number that is free; its ETag, as far as that is
        known, or None when it was not."""
        if not self._fences.honoured():
            return self._create_unfenced(number, content, nonce)
        for _ in range(CLAIM_RACES_MAX):
            try:
                return self._bucket.put(
                    self._key(number), content, self.path, IfNoneMatch="*"
                )
            except PreconditionError:
                # The SDK may have sent it twice, and our own first try be in the way.
                found = self.read(number)
                if found is not None:
                    return "" if found[0].nonce == nonce else None
                # Two hands at once can get in each other's way without a winner.
        return None

    def _create_unfenced(self, number: int, content: bytes, nonce: str) -> str | None:
        if self.read(number) is not None:
            return None
        etag = self._bucket.put(self._key(number), content, self.path)
        time.sleep(SETTLE_SECONDS)
        found = self.read(number)
        return etag if found is not None and found[0].nonce == nonce else None


def new_nonce() -> str:
    """What tells a record from all others."""
    return secrets.token_hex(8)

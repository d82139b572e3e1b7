"""The writer: parts while bytes come, a record of what is stored, one visible step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..errors import (
    StorageError,
    TooLargeError,
    UploadNotFoundError,
    UploadSupersededError,
)
from ..objectstore.part_budget import PartBudget
from ..objectstore.part_buffer import PartBuffer
from ..objectstore.partwriter import PartWriter
from ..objectstore.sender import Sender
from ..objectstore.store import attempt
from .bucket import UPLOAD_MARK, Bucket
from .chain import Chain, new_nonce
from .parameters import PART_BYTES_MIN
from .parts import (
    abort_multipart,
    begin_multipart,
    complete_multipart,
    part_bytes,
    upload_part,
)
from .record import PARTS_MAX, Part, Record, Stage

RESERVED_PARTS_MIN = 16
RESERVED_SHARE = 4
"""Part numbers that are reserved at once: at least the one, else a share of all."""


@dataclass(slots=True)
class Claimed:
    """An upload that a writer may go on with.

    Attributes:
        chain: its records.
        number: of the writer's own record.
        record: what that one says.
        tail: bytes that follow the stored parts.
    """

    chain: Chain
    number: int
    record: Record
    tail: bytes = field(default=b"", repr=False)


class S3Writer(PartWriter):
    """An upload to a bucket.

    Args:
        bucket: where to.
        claimed: the upload.
        budget: memory for parts, shared by all streams.
        keep: called at a close without a commit: makes this the path's kept upload.
        unlink: called when an upload ends that may be the path's kept one.
    """

    _sender: Sender[Part] | None

    def __init__(
        self,
        bucket: Bucket,
        claimed: Claimed,
        budget: PartBudget,
        keep: Callable[[Chain], None],
        unlink: Callable[[Chain], None],
    ) -> None:
        record = claimed.record
        self._bucket = bucket
        self._chain = claimed.chain
        self._number = claimed.number
        self._record = record
        self._keep = keep
        self._unlink = unlink
        super().__init__(
            bucket,
            claimed.chain.path,
            claimed.chain.upload_id,
            record.generation,
            budget,
            sum(part.size for part in record.parts),
        )
        if record.multipart:
            self._sender = self._new_sender(record.multipart)
        # Numbers that a former owner may still be sending are left alone.
        self._next_number = record.reserved + 1
        self._add(claimed.tail)

    @property
    def durable(self) -> int:
        stored = self._sender.stored if self._sender else []
        size = sum(part.size for part in (*self._record.parts, *stored))
        # The tail was the beginning of the first part that this writer sent.
        return size if stored else size + self._record.tail_size

    def commit(self) -> None:
        self._check()
        if self._sender is None:
            self._commit_whole()
        else:
            self._commit_parts()
        self._end()
        attempt(lambda: self._chain.erase(self._number))
        if self._record.linked:
            attempt(lambda: self._unlink(self._chain))

    def cancel(self) -> None:
        self._end()
        try:
            number, record = self._drop()
        except (UploadSupersededError, UploadNotFoundError):
            return  # it is another writer's now
        except StorageError:
            if self._failure is None:
                raise
            return  # the first error counts; the reaper removes what is left
        try:
            if record.multipart:
                abort_multipart(self._bucket, self._path, record.multipart)
        except UploadNotFoundError:
            pass
        except StorageError:
            if self._failure is None:
                raise
            return  # the records stay, so that the reaper finds it
        attempt(lambda: self._chain.erase(number))
        if record.linked:
            attempt(lambda: self._unlink(self._chain))

    def _store_kept(self) -> None:
        if len(self._buffer) >= PART_BYTES_MIN:
            self._send()
        if self._sender is not None:
            self._sender.drain()
        tail = self._buffer.content()
        parts = self._parts()
        record = replace(
            self._record,
            stage=Stage.KEPT,
            nonce=new_nonce(),
            parts=tuple(parts),
            # All is sent: a claimant may go on with the number that follows.
            reserved=self._next_number - 1,
            tail_at=self._number + 1 if tail else 0,
            tail_size=len(tail),
            linked=True,
        )
        self._number = self._chain.advance(self._number, record, tail)
        self._take_note(record)
        self._keep(self._chain)

    def _part_bytes(self, offset: int) -> int:
        return part_bytes(offset, self._bucket.options.chunksize)

    def _new_sender(self, multipart: str) -> Sender[Part]:
        def store(number: int, buffer: PartBuffer) -> Part:
            return upload_part(self._bucket, self._path, multipart, number, buffer)

        at_once_max = self._bucket.options.multipartuploadmaxconcurrency
        return Sender(self._bucket.clients, store, at_once_max, self._path)

    def _send(self) -> None:
        sender = self._begin_sending()
        number = self._take_number()
        sender.send(number, self._taken())

    def _begin_sending(self) -> Sender[Part]:
        if self._sender is None:
            multipart = begin_multipart(self._bucket, self._path, self.upload_id)
            try:
                self._step(multipart=multipart, reserved=RESERVED_PARTS_MIN)
            except BaseException:
                attempt(lambda: abort_multipart(self._bucket, self._path, multipart))
                raise
            self._sender = self._new_sender(multipart)
        return self._sender

    def _take_number(self) -> int:
        """The next part's number; a record reserves it before it is used.

        Raises:
            TooLargeError: there are no more.
        """
        number = self._next_number
        if number > PARTS_MAX:
            raise TooLargeError(
                f"more than {PARTS_MAX} parts: raise 'chunksize'", path=self._path
            )
        if number > self._record.reserved:
            more = max(RESERVED_PARTS_MIN, number // RESERVED_SHARE)
            parts = tuple(self._parts())
            tail_is_in = len(parts) > len(self._record.parts)
            self._step(
                parts=parts,
                reserved=number - 1 + more,
                tail_at=0 if tail_is_in else self._record.tail_at,
                tail_size=0 if tail_is_in else self._record.tail_size,
            )
        self._next_number += 1
        return number

    def _parts(self) -> list[Part]:
        """All stored parts up to the first that is not yet."""
        stored = self._sender.stored if self._sender else []
        return [*self._record.parts, *stored]

    def _step(self, **changes: object) -> None:
        """Take the upload's next step, as the one whose turn it is."""
        record = replace(self._record, nonce=new_nonce(), **changes)  # type: ignore[arg-type]
        self._number = self._chain.advance(self._number, record)
        self._take_note(record)

    def _take_note(self, record: Record) -> None:
        """Go on from a record that is stored now."""
        if self._sender is not None and record.parts != self._record.parts:
            self._sender.forget_stored()
        self._record = record

    def _commit_whole(self) -> None:
        """The visible step of an object that is small enough for one request."""
        self._fence_and_publish(
            lambda: self._bucket.put(
                self._bucket.key(self._path),
                self._buffer.body(),
                self._path,
                {UPLOAD_MARK: self.upload_id},
            )
        )

    def _commit_parts(self) -> None:
        """The visible step of a multipart upload."""
        sender, multipart = self._sender, self._record.multipart
        assert sender is not None
        last: list[Part] = []
        with self._remembered():
            if len(self._buffer) or not self._sent_bytes:
                # The buffer stays as it is: should the commit fail, more may follow.
                number = self._take_number()
                self._next_number = number
                last = [
                    upload_part(
                        self._bucket, self._path, multipart, number, self._buffer
                    )
                ]
            # The others are on their way meanwhile.
            sender.drain()
        parts = [*self._parts(), *last]

        def publish() -> None:
            try:
                complete_multipart(self._bucket, self._path, multipart, parts)
            except UploadNotFoundError:
                raise UploadSupersededError(
                    "the upload has ended", path=self._path
                ) from None

        self._fence_and_publish(publish)

    def _fence_and_publish(self, publish: Callable[[], object]) -> None:
        """Fence all others off, then publish; on failure the upload stays open."""
        with self._remembered():
            self._step(stage=Stage.COMMITTING)
        self._make_visible(publish, lambda: self._step(stage=Stage.OPEN))

    def _drop(self) -> tuple[int, Record]:
        """Take the last step: what is stored may be removed now."""
        record = replace(self._record, stage=Stage.DROPPED, nonce=new_nonce())
        return self._chain.advance(self._number, record), record

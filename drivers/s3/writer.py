"""The writer: parts while bytes come, a record of what is stored, one visible step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..contract import Writer
from ..errors import StorageError, UploadNotFoundError, UploadSupersededError
from ..part_budget import PartBudget
from ..part_buffer import PartBuffer
from .bucket import UPLOAD_MARK, Bucket, attempt
from .chain import Chain, new_nonce
from .parameters import PART_BYTES_MIN
from .parts import (
    PartSender,
    abort_multipart,
    begin_multipart,
    complete_multipart,
    part_bytes,
)
from .record import Part, Record, Stage

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


class S3Writer(Writer):
    """An upload to a bucket.

    Args:
        bucket: where to.
        claimed: the upload.
        budget: memory for parts, shared by all streams.
        keep: called at a close without a commit: makes this the path's kept upload.
        unlink: called when an upload ends that may be the path's kept one.
    """

    def __init__(
        self,
        bucket: Bucket,
        claimed: Claimed,
        budget: PartBudget,
        keep: Callable[[Chain], None],
        unlink: Callable[[Chain], None],
    ) -> None:
        self._bucket = bucket
        self._chain = claimed.chain
        self._number = claimed.number
        self._record = claimed.record
        self._budget = budget
        self._keep = keep
        self._unlink = unlink
        self._path = claimed.chain.path
        self.upload_id = claimed.chain.upload_id
        self.generation = claimed.record.generation
        self._failure: StorageError | None = None
        self._ended = False
        self._sender: PartSender | None = None
        if claimed.record.multipart:
            self._sender = PartSender(bucket, self._path, claimed.record.multipart)
        # Numbers that a former owner may still be sending are left alone.
        self._next_number = claimed.record.reserved + 1
        self._size = sum(part.size for part in claimed.record.parts)
        self._sent_bytes = self._size
        self._buffer = self._new_buffer()
        self._add(claimed.tail)

    @property
    def size(self) -> int:
        return self._size

    @property
    def durable(self) -> int:
        stored = self._sender.stored if self._sender else []
        size = sum(part.size for part in (*self._record.parts, *stored))
        # The tail was the beginning of the first part that this writer sent.
        return size if stored else size + self._record.tail_size

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._check()
        with _Remembered(self):
            self._add(data)
        return len(data)

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

    def close(self) -> None:
        if self._ended:
            return
        if self._failure is not None:
            # What was accepted is not all stored, so this is no upload to append to;
            # who knows its id and size can continue it.
            self._end()
            return
        try:
            with _Remembered(self):
                self._close()
        finally:
            self._end()

    def _close(self) -> None:
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

    def _new_buffer(self) -> PartBuffer:
        size = part_bytes(self._sent_bytes, self._bucket.options.chunksize)
        return PartBuffer(self._budget, size)

    def _add(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while len(view):
            if not self._buffer.room:
                self._send()
            piece = view[: self._buffer.room]
            self._buffer.append(piece)
            self._size += len(piece)
            view = view[len(piece) :]

    def _send(self) -> None:
        """Send what is gathered as a part."""
        sender = self._begin_sending()
        number = self._take_number()
        buffer = self._buffer
        self._sent_bytes += len(buffer)
        self._buffer = self._new_buffer()
        sender.send(number, buffer)

    def _begin_sending(self) -> PartSender:
        if self._sender is None:
            multipart = begin_multipart(self._bucket, self._path, self.upload_id)
            try:
                self._step(multipart=multipart, reserved=RESERVED_PARTS_MIN)
            except BaseException:
                attempt(lambda: abort_multipart(self._bucket, self._path, multipart))
                raise
            self._sender = PartSender(self._bucket, self._path, multipart)
        return self._sender

    def _take_number(self) -> int:
        """The next part's number; a record reserves it before it is used."""
        number = self._next_number
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
        self._make_visible(self._put_whole)

    def _put_whole(self) -> None:
        self._bucket.put(
            self._bucket.key(self._path),
            self._buffer.body(),
            self._path,
            {UPLOAD_MARK: self.upload_id},
        )

    def _commit_parts(self) -> None:
        """The visible step of a multipart upload."""
        sender, multipart = self._sender, self._record.multipart
        assert sender is not None
        last: list[Part] = []
        with _Remembered(self):
            sender.drain()
            if len(self._buffer) or not self._parts():
                # The buffer stays as it is: should the commit fail, more may follow.
                number = self._next_number
                if number > self._record.reserved:
                    number = self._take_number()
                    self._next_number = number
                last = [sender.send_last(number, self._buffer)]
        parts = [*self._parts(), *last]
        self._make_visible(
            lambda: complete_multipart(self._bucket, self._path, multipart, parts)
        )

    def _make_visible(self, publish: Callable[[], None]) -> None:
        """Fence all others off, then publish; on failure the upload stays open."""
        with _Remembered(self):
            self._step(stage=Stage.COMMITTING)
        try:
            publish()
        except StorageError as error:
            if self._is_visible():
                return  # only the reply was lost
            if isinstance(error, UploadNotFoundError):
                error = UploadSupersededError("the upload has ended", path=self._path)
            attempt(lambda: self._step(stage=Stage.OPEN))
            raise error from None

    def _is_visible(self) -> bool:
        """Whether the object at the path is this upload's."""
        try:
            found = self._bucket.head(self._path)
        except StorageError:
            return False
        return (
            found is not None
            and found.upload_id == self.upload_id
            and found.size == self._size
        )

    def _drop(self) -> tuple[int, Record]:
        """Take the last step: what is stored may be removed now."""
        record = replace(self._record, stage=Stage.DROPPED, nonce=new_nonce())
        return self._chain.advance(self._number, record), record

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _end(self) -> None:
        """Give memory and threads back."""
        self._ended = True
        if self._sender is not None:
            self._sender.stop()
        self._buffer.close()


class _Remembered:
    """Remembers an error as the writer's failure: nothing can follow it but the end."""

    def __init__(self, writer: S3Writer) -> None:
        self._writer = writer

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: object, _: object) -> None:
        if isinstance(error, StorageError):
            error.durable = self._writer.durable
            self._writer._failure = error

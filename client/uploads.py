"""Writing: an upload that goes on elsewhere when its worker is lost.

Everything that waits is a coroutine, see `waiting`.

What is not yet known to survive the worker can be sent again (`replay`). When worker or
broker is lost, the upload is claimed by its id, the new worker says how much it has,
and the rest is sent again. What cannot be continued so is an error that carries the
durable offset: there is never a silent gap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from ..broker.messages import LANE_MEMORY, Accepted, Open, Operation
from ..broker.wire import CHUNK_BYTES_MAX, Payload, Type
from ..drivers.errors import (
    CancelledError,
    DataLossError,
    Executed,
    StorageError,
    UnavailableError,
    UnsupportedMethodError,
    UploadNotFoundError,
    UploadSupersededError,
)
from .claims import check_claim, is_committed
from .handles import Handle
from .lanes import fetch_memory
from .operations import Operations
from .replay import FileSource, Replay, Source, replay_bytes
from .requests import Request
from .retry import Attempts, Safety, can_help

COALESCE_BYTES = 262_144
"""Smaller writes are gathered up to this size."""

DROP_S_MAX = 0.5
"""How long what has failed tries to drop what it has left at a worker, if its own time
is over."""

FINAL = (UploadSupersededError, UploadNotFoundError, DataLossError)
"""After these the upload is another writer's, or no more: claiming it is wrong."""


class Upload:
    """An upload.

    Each method is a call, which has the deadline from its start; and anew whenever the
    upload gets further than ever. What is sent again gets it no further.

    Args:
        operations: the service.
        path: the object to be.
        append, upload_id: see `StorageDriver.writer`.
        brief: whether the caller stays until the end.
        whole: the attempts of the one call that all of this is.
        reached: bytes that this call had sent in an earlier upload; -1 if this is
            the first.

    Attributes:
        size: bytes accepted, earlier sessions included.
        upload_id: the upload's name, or "".
        generation: how often it was claimed.
        reached: how many bytes it once had sent; -1 before it was open.
        moved_at: when it last got further than ever; 0 when it has not yet.
    """

    def __init__(
        self,
        operations: Operations,
        path: str,
        append: bool = False,
        upload_id: str | None = None,
        *,
        brief: bool = False,
        whole: Attempts | None = None,
        reached: int = -1,
    ) -> None:
        self._operations = operations
        self._path = path
        self._brief = brief
        self._whole = whole
        self._wanted = Open(
            operations.service,
            path,
            append=append,
            upload_id=upload_id,
            **operations.lanes.asking(operations.transport.now()),
        )
        self._handle: Handle | None = None
        self._memory: Accepted | None = None
        self._error: StorageError | None = None
        self._ends = 0.0
        self._gathered = bytearray()
        self._replay = Replay(0)
        self._durable = 0
        self.size = 0
        self.upload_id = ""
        self.generation = 1
        self._claims = 0  # since then, without an answer
        self.reached = reached
        self.moved_at = 0.0

    @property
    def durable(self) -> int:
        """Bytes that survive the death of the worker."""
        if self._handle is not None:
            self._durable = max(self._durable, self._handle.durable)
        return min(self._durable, self.size)

    async def open(self) -> None:
        """Claim or start the upload.

        Raises:
            StorageError: it cannot be had.
        """
        attempts = self._attempts()
        while True:
            try:
                size = await self._claim(self._wanted, attempts)
            except StorageError as error:
                failure = error
            else:
                self.size = size
                self._replay = Replay(size)
                self._relax()
                return
            await self._operations.pause(attempts, failure)

    async def write(self, data: Payload | bytearray, *, lasting: bool = False) -> None:
        """Accept bytes.

        Args:
            data: they may be changed when this returns, unless they are lasting.
            lasting: whether the caller keeps them as they are until the end.

        Raises:
            StorageError: the upload has failed, perhaps in an earlier write.
        """
        attempts = self._attempts()
        await self._take_up(attempts)
        if len(self._gathered) + len(data) < COALESCE_BYTES:
            self._gathered += data
            self.size += len(data)
            if self._handle is not None and self._handle.ended:
                await self._flush(attempts)
            self._relax()
            return
        await self._flush(attempts)
        view = memoryview(data)
        for start in range(0, len(view), CHUNK_BYTES_MAX):
            piece = view[start : start + CHUNK_BYTES_MAX]
            # Bytes cannot change; anything else may be used again by the caller.
            kept = piece if isinstance(data, bytes) else bytes(piece)
            self.size += len(kept)
            self._replay.add(kept, lasting=lasting)
            await self._send(kept, attempts)
        self._relax()

    async def write_from(
        self, file: BinaryIO, length: int | None, moved: Callable[[int], None]
    ) -> int:
        """Accept what a seekable file holds from where it stands on; after a loss it
        is read again.

        Args:
            file: binary.
            length: bytes at most; None for all.
            moved: told the length of each piece.

        Raises:
            StorageError: the upload has failed.
            DataLossError: the file had to be read again, and is another now.
        """
        source: Source = FileSource(file)
        count = 0
        while True:
            most = CHUNK_BYTES_MAX if length is None else length - count
            piece = file.read(max(0, min(CHUNK_BYTES_MAX, most)))
            if not piece:
                return count
            attempts = self._attempts()
            await self._take_up(attempts)
            await self._flush(attempts)
            self.size += len(piece)
            self._replay.add_stretch(source, count, len(piece))
            count += len(piece)
            await self._send(piece, attempts)
            self._relax()
            moved(len(piece))

    async def commit(self) -> None:
        """Make it the object's content.

        Raises:
            StorageError: it is not, or with `executed` "maybe", that is not known.
        """
        attempts = self._attempts()
        await self._take_up(attempts)
        await self._flush(attempts)
        while True:
            try:
                await self._end(Type.COMMIT, attempts)
                return
            except StorageError as error:
                failure = error
            if await self._has_committed(failure, attempts):
                return

    async def close(self) -> None:
        """Keep what was written, for another writer to continue.

        Raises:
            StorageError: something of it could not be kept.
        """
        if self._error is not None:
            return  # the caller was told what could not be kept
        attempts = self._attempts()
        await self._flush(attempts)
        while True:
            try:
                await self._end(Type.DETACH, attempts)
                return
            except StorageError as error:
                failure = error
            await self._recover(failure, attempts)

    async def cancel(self, within_s: float | None = None) -> None:
        """Drop the upload.

        Args:
            within_s: seconds that this may take, where the stream is over already;
                None for the deadline, and after a failure for what is left of that
                (but `DROP_S_MAX`): whoever leaves a `with` block waits but once.

        Raises:
            StorageError: the worker could not.
        """
        self._gathered.clear()
        failed, before = self._error is not None, self._ends
        attempts, now = self._attempts(), self._operations.transport.now()
        if within_s is not None:
            attempts.ends = min(attempts.ends, now + within_s)
        elif failed:
            attempts.ends = min(attempts.ends, max(before, now + DROP_S_MAX))
        try:
            while True:
                try:
                    await self._drop(attempts)
                    return
                except (CancelledError, UploadNotFoundError):
                    return  # this is how it ends
                except StorageError as error:
                    failure = error
                    self._fail(error)
                if not self.upload_id or isinstance(failure, FINAL):
                    raise failure
                await self._operations.pause(attempts, failure)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Nobody will use this any more; what was sent is kept by the worker."""
        handle, self._handle = self._handle, None
        self._operations.uploads.discard(id(self))
        if handle is not None:
            self._durable = max(self._durable, handle.durable)
            self.reached = max(self.reached, handle.reached)
            self.moved_at = max(self.moved_at, handle.moved_at)
            handle.release()

    # Inside

    async def _drop(self, attempts: Attempts) -> None:
        """Have the worker drop what there is of the upload, if that is known."""
        if self._handle is None or self._handle.ended:
            # The stream is over and the upload kept: take it up to drop it.
            if not self.upload_id or isinstance(self._error, FINAL):
                return
            await self._claim(self._continued(), attempts)
        await self._end(Type.CANCEL, attempts)

    async def _claim(self, arguments: Open, attempts: Attempts) -> int:
        """Open a stream; returns how much the upload holds."""
        self.abandon()
        begins = self.reached < 0 and not attempts.failures
        request = Request.of(
            Operation.WRITE,
            arguments,
            self._operations.left(attempts),
            patience_s=self._operations.deadline,
            mark=-1 if begins else max(0, self.reached),
        )
        handle = self._operations.transport.begin(request, brief=self._brief)
        self._handle = handle
        self._operations.uploads.add(id(self))
        try:
            accepted = await handle.opened()
            if accepted is None:
                raise UnavailableError("the worker ended the upload at its start")
            if arguments is not self._wanted and self._whole is None:
                known = accepted.size <= self._durable
                most = self.generation + 1 + (self._claims if known else 0)
                check_claim(self._path, accepted.generation, most)
        except BaseException as error:
            self._claims += getattr(error, "executed", None) is not Executed.NO
            self.abandon()
            raise
        self.upload_id = accepted.upload_id
        self.generation, self._claims = accepted.generation, 0
        self._durable = accepted.durable
        self._memory = accepted if accepted.lane == LANE_MEMORY else None
        self._error = None
        self._operations.budget.succeeded()
        return accepted.size

    async def _flush(self, attempts: Attempts) -> None:
        """Send what was gathered."""
        if self._gathered:
            gathered, self._gathered = bytes(self._gathered), bytearray()
            self._replay.add(gathered)
            await self._send(gathered, attempts)
        elif self._handle is not None and self._handle.ended:
            await self._send(b"", attempts)

    async def _send(self, piece: Payload, attempts: Attempts) -> None:
        self._replay.most = replay_bytes(len(self._operations.uploads))
        self._replay.drop(self.durable)
        try:
            if self._handle is None:
                raise self._lost()
            await self._hand_over(self._handle, piece)
        except StorageError as error:
            self._fail(error)
            await self._recover(error, attempts)
        except BaseException:
            self.abandon()
            raise

    async def _hand_over(self, handle: Handle, piece: Payload) -> None:
        """Write a piece, through the lane once that is worth it."""
        offer, after = self._memory, self._operations.lanes.after_bytes
        if offer is not None and piece and handle.posted >= after:
            self._memory = None
            left_s = max(0.001, self._ends - self._operations.transport.now())
            lane = await self._operations.transport.run(
                lambda: fetch_memory(offer, writable=True, left_s=left_s)
            )
            if lane is not None:
                handle.adopt(lane)
        await handle.write(piece)

    async def _end(self, kind: Type, attempts: Attempts) -> None:
        handle = self._handle
        if handle is None:
            raise self._lost()
        try:
            handle.end(kind, self._operations.left(attempts))
            await handle.finish()
        except StorageError as error:
            self._fail(error)
            raise
        finally:
            self.abandon()

    async def _take_up(self, attempts: Attempts) -> None:
        """After an error that was raised: the caller tries again, so do we."""
        error = self._error
        if error is None:
            return
        if not self.upload_id or isinstance(error, FINAL):
            raise error
        try:
            await self._resume(attempts)
        except StorageError as again:
            self._fail(again)
            raise

    async def _recover(self, error: StorageError, attempts: Attempts) -> None:
        """Go on with the upload after an error, or raise it.

        Raises:
            StorageError: what cannot be mended, with `durable`.
        """
        while True:
            try:
                if not self.upload_id or isinstance(error, FINAL):
                    await self._operations.transport.explain(error)
                    raise error
                self._operations.extend(attempts, self.moved_at)
                self._ends = attempts.ends
                await self._operations.pause(attempts, error)
                await self._resume(attempts)
                return
            except UnsupportedMethodError:
                self.upload_id = ""  # the driver cannot go on: the loss is the error
                self._fail(error)
            except StorageError as again:
                self._fail(again)
                if again is error:
                    raise
                error = again

    async def _resume(self, attempts: Attempts) -> None:
        """Claim the upload, and send what is missing of it."""
        place = await self._claim(self._continued(), attempts)
        for piece in self._replay.since(place):
            assert self._handle is not None
            await self._hand_over(self._handle, piece)

    async def _has_committed(self, failure: StorageError, attempts: Attempts) -> bool:
        """Whether a commit that failed has run after all; if not, it never will, and
        the upload is ready for another.

        Raises:
            StorageError: it cannot be told, or the upload cannot go on.
        """
        try:
            if await self._was_overtaken(failure, attempts):
                return True
        except StorageError as error:
            # Whatever it is that failed here: the commit is still in doubt, and what
            # was written is still there.
            if error.durable is None:
                error.durable = self.durable
            if failure.executed is not Executed.NO and error.executed is Executed.NO:
                error.executed = Executed.MAYBE
            raise
        attempts.may_have_run = False  # the claim has fenced the former worker off
        return False

    async def _was_overtaken(self, failure: StorageError, attempts: Attempts) -> bool:
        """Claim the upload to commit it once more; True when it is committed already.

        Raises:
            StorageError: see `_has_committed`.
        """
        try:
            if await self._is_committed(failure, attempts):
                return True
            await self._recover(failure, attempts)
        except UploadNotFoundError:
            # Until it was claimed, its worker could go on with the commit.
            if await self._is_committed(failure, attempts):
                return True
            raise
        return False

    async def _is_committed(self, error: StorageError, attempts: Attempts) -> bool:
        """Whether a commit that failed has run after all.

        Raises:
            StorageError: it cannot be told.
        """
        if error.executed is Executed.NO or not can_help(error):
            return False
        if not self.upload_id:
            raise error
        self._operations.extend(attempts, self.moved_at)
        return await is_committed(
            self._operations, self._path, self.upload_id, self.size, error, attempts
        )

    def _attempts(self) -> Attempts:
        """Those of a call that begins now, or goes on."""
        attempts = self._operations.attempts(Safety.REPEATABLE)
        if self._whole is not None:
            attempts.ends = self._whole.ends
            handle = self._handle
            moved_at = self.moved_at if handle is None else handle.moved_at
            self._operations.extend(attempts, moved_at)
        self._ends = attempts.ends
        return attempts

    def _relax(self) -> None:
        """A call has ended well: what it has left to be sent may take its time."""
        if self._handle is not None and self._whole is None:
            self._handle.relax()

    def _continued(self) -> Open:
        return Open(
            self._operations.service,
            self._path,
            upload_id=self.upload_id,
            **self._operations.lanes.asking(self._operations.transport.now()),
        )

    def _fail(self, error: StorageError) -> None:
        self.abandon()
        if error.durable is None:
            error.durable = self.durable
        self._error = error

    def _lost(self) -> StorageError:
        return self._error or UnavailableError(
            "the upload was given up", executed=Executed.NO
        )

"""An upload: bytes to the driver in order, then a commit, or not. Pure.

    opening --> writing --COMMIT--> committing --> RESULT
                   |                     '-- fails --.
                   |--DETACH, client lost--> keeping --> RESULT
                   |--an error------------> keeping --> ERROR with `durable`
                   '--CANCEL--------------> dropping --> ERROR CANCELLED

A new upload that is given up before ACCEPT is dropped. Whatever ends an upload early is
noted and takes effect when the driver has let go of the job in hand. A commit stands on
its worker's session as a put does (`drivers.standing`): when its client is lost or has
given it up, it is taken back, or must not take effect any more. What the driver says of
it is the truth.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum

from ..broker.flow import Inflow
from ..broker.messages import LANE_MEMORY, UNTOLD, Accepted, Progress, pack
from ..broker.wire import (
    BUDGET_MS_DEFAULT,
    CHUNK_BYTES_MAX,
    WANT,
    Message,
    Payload,
    Type,
)
from ..drivers.contract import Writer
from ..drivers.errors import DataLossError, ProtocolError, StorageError
from .jobs import Outcome
from .schedule import Task
from .streams import Arrival, Desk, Stream, cancelled
from .upload_jobs import (
    CommitWriter,
    Kept,
    Opened,
    OpenWriter,
    SettleWriter,
    WriteLane,
    WritePieces,
    Written,
)

UPLOAD_WINDOW_BYTES_MAX = 6_291_456
"""Bytes of one upload that may be on their way, or wait here for the driver. With what
waits in a client they are no more than it keeps to be sent again."""
UPLOAD_WINDOW_BYTES_MIN = 262_144
"""The same where there are many uploads."""
WRITE_BYTES_MAX = 2 * CHUNK_BYTES_MAX
"""What one job writes."""
WAITING_PIECES_MAX = 512
"""Pieces that wait one by one; more are joined."""


class _Ending(Enum):
    """How the client wants the upload to end."""

    COMMIT = "commit"
    KEEP = "keep"
    DROP = "drop"


class Upload(Stream):
    """A write.

    Args:
        desk, arrival: see `Stream`.
        window: bytes that may be under way or waiting here.
    """

    __slots__ = (
        "_by_lane",
        "_commit_expires",
        "_durable",
        "_end_at",
        "_ending",
        "_error",
        "_flow",
        "_lane_open",
        "_settling",
        "_waiting",
        "_writer",
    )

    def __init__(
        self,
        desk: Desk,
        arrival: Arrival,
        window: int = UPLOAD_WINDOW_BYTES_MAX,
    ) -> None:
        super().__init__(desk, arrival)
        self._flow = Inflow(window)
        self._waiting: deque[Payload] = deque()
        self._by_lane = False
        self._end_at: int | None = None  # what the client says that it has sent
        self._lane_open = True  # whether the client can tell of more in the lane
        self._writer: Writer | None = None
        self._durable = 0
        self._ending: _Ending | None = None
        self._commit_expires = math.inf
        self._settling = False
        self._error: StorageError | None = None

    # -- events ---------------------------------------------------------------

    def begin(self, now: float) -> None:
        lane_bytes = self._flow.window if LANE_MEMORY in self.lanes else 0
        self.run(OpenWriter(self.request, lane_bytes), now + self.budget_s, now)

    def received(self, message: Message, now: float) -> None:
        kind = message.type
        untold = kind is Type.DETACH and message.code == UNTOLD and self._is_new
        if kind is Type.CANCEL or untold:
            self._takes_back_commit()
            self._ending = _Ending.DROP
            self._waiting.clear()
            self._interrupt(now)
        elif kind is Type.DETACH and self._ending is _Ending.COMMIT:
            self.release(now)
        elif self._ending is not None or self._error is not None:
            return  # what was under way when the end was decided
        elif kind is Type.DATA:
            want = bool(message.flags & WANT)
            if self._flow.accept(message.offset, message.size, want):
                self._hold(message)
                self._report()
                self._step(now)
        elif kind is Type.COMMIT or kind is Type.DETACH:
            self._end_at = message.offset
            if not self._by_lane:
                self._check_size()
            if kind is Type.COMMIT:
                self._ending = _Ending.COMMIT
                budget_ms = message.budget_ms or BUDGET_MS_DEFAULT
                self._commit_expires = now + budget_ms / 1000
            else:
                self._ending = _Ending.KEEP
            self._step(now)

    def rang(self, now: float) -> None:
        super().rang(now)
        if self._ending is None and self._error is None:
            self._write_lane(now)

    def went(self, task: Task, outcome: Outcome, now: float) -> None:
        job, value = task.job, outcome.value
        if outcome.error is not None:
            if self._writer is None or isinstance(job, SettleWriter):
                # Never opened, or ended as far as it can be.
                self.refuse(self._with_durable(self._error or outcome.error))
                return
            self._error = self._error or outcome.error
            self._waiting.clear()
        elif isinstance(value, Opened):
            self._open(value)
        elif isinstance(job, WritePieces):
            self._durable = value
            self._flow.consume(job.size)
            self._report()
        elif isinstance(value, Written):
            self._durable = value.durable
            if value.arrived > self._flow.received:
                self.heard = now
            self._flow.catch_up(value.arrived, value.consumed)
            self._lane_open = not value.cut
        elif isinstance(job, CommitWriter):
            self._result(value)
            return
        elif isinstance(job, SettleWriter):
            self._settled(value)
            return
        self._step(now)

    def release(self, now: float) -> None:
        if self._ending is None or self._takes_back_commit():
            self._ending = _Ending.KEEP
        self._interrupt(now)

    def fail(self, error: StorageError, now: float) -> None:
        if self._error is None:
            self._error = error
        self._waiting.clear()
        self._interrupt(now)

    @property
    def shows_progress(self) -> bool:
        moves_bytes = (WritePieces, WriteLane)
        return self.task is not None and not isinstance(self.task.job, moves_bytes)

    # -- what to do next ------------------------------------------------------

    def _takes_back_commit(self) -> bool:
        """Whether a commit was asked for and can be withdrawn. One that runs must not
        take effect any more; how it ends is looked up later."""
        if self._ending is not _Ending.COMMIT:
            return False
        if self.standing is not None:
            self.standing.revoke(cancelled())
        task = self.task
        runs = task is not None and isinstance(task.job, CommitWriter)
        return not runs or self.withdraw()

    def _step(self, now: float) -> None:
        """Start the next job, when none is in hand."""
        writer = self._writer
        if self.task is not None or writer is None:
            return
        if self._end_at is not None and self._error is None:
            try:
                self._check_size()
            except StorageError as error:
                self._error = error
        if self._error is not None or self._ending is _Ending.DROP:
            self._settle(writer, now)
        elif self._waiting:
            pieces, size = self._next_pieces()
            self.run(
                WritePieces(writer, pieces, size), now + self.budget_s, now, bulk=True
            )
        elif self._by_lane and self._flow.received > self._flow.consumed:
            self._write_lane(now)
        elif self._ending is _Ending.COMMIT:
            self.run(CommitWriter(writer, self.request.path), self._commit_expires, now)
        elif self._ending is _Ending.KEEP:
            self._settle(writer, now)
        elif self._by_lane and self._lane_open:
            self.desk.listen(self)

    def _write_lane(self, now: float) -> None:
        assert self._writer is not None and self.lane is not None
        flow = self._flow
        job = WriteLane(self._writer, self.lane, flow.consumed, flow.received)
        self.run(job, now + self.budget_s, now, bulk=True)

    def _settle(self, writer: Writer, now: float) -> None:
        keep = self._ending is not _Ending.DROP
        self._settling = True
        self.standing = None  # what was begun is ended, whoever is gone
        self.run(SettleWriter(writer, keep), math.inf, now)

    def _interrupt(self, now: float) -> None:
        """An end that does not wait for what is queued, only for what runs."""
        if self._settling:
            return
        if self._writer is None:
            if self.withdraw():
                self.refuse(self._error or cancelled())
            return
        if self._error is not None or self._ending is _Ending.DROP:
            self.withdraw()
        self._step(now)

    def _hold(self, message: Message) -> None:
        if message.lane:
            if self.lane is None:
                raise ProtocolError("DATA in a lane that was not taken")
            self._by_lane = True
        elif message.payload:
            self._waiting.append(message.payload)
        if len(self._waiting) >= WAITING_PIECES_MAX:
            # The window bounds the bytes, but not what two million single bytes cost.
            self._waiting = deque([b"".join(self._waiting)])

    def _next_pieces(self) -> tuple[tuple[Payload, ...], int]:
        """What waits, up to two chunks: a job costs as much for two as for one."""
        pieces = [self._waiting.popleft()]
        size = len(pieces[0])
        while self._waiting and size + len(self._waiting[0]) <= WRITE_BYTES_MAX:
            pieces.append(self._waiting.popleft())
            size += len(pieces[-1])
        return tuple(pieces), size

    def _check_size(self) -> None:
        """Compare what the client says that it has sent with what has arrived.

        By a lane all that it says lies there, whether or not its bell has told of it.
        A broker whose client is lost does not know of that, and says less.

        Raises:
            DataLossError: it is another number.
            ProtocolError: it is more than the lane holds.
        """
        assert self._end_at is not None
        size, self._end_at = self._end_at, None
        flow = self._flow
        if self._by_lane and size > flow.received:
            if size > flow.consumed + flow.window:
                raise ProtocolError(f"an end at {size}, beyond what the lane holds")
            flow.catch_up(size, flow.consumed)
        elif size != flow.received and not (
            self._by_lane and self._ending is _Ending.KEEP
        ):
            raise DataLossError(
                f"ended after {size} bytes, of which {flow.received} have arrived",
                path=self.request.path,
            )

    # -- messages -------------------------------------------------------------

    def _open(self, opened: Opened) -> None:
        self._writer = opened.writer
        self._durable = opened.durable
        if self._is_nobodys:
            self._ending = _Ending.DROP
            return
        accepted = Accepted(
            size=opened.size,
            durable=opened.durable,
            upload_id=opened.upload_id,
            generation=opened.generation,
            **self.offer_lane(opened.offer),
        )
        _, limit = self._flow.credit()
        message = Message(Type.ACCEPT, self.id, limit=limit, fields=pack(accepted))
        self.desk.send(self, message)

    @property
    def _is_nobodys(self) -> bool:
        """Whether an upload was given up before its client could learn its name. It
        is empty, and kept it would take the place of one that the client has kept."""
        given_up = self._ending is not None or self._error is not None
        return given_up and self._is_new

    @property
    def _is_new(self) -> bool:
        return not (self.request.append or self.request.upload_id)

    def _report(self) -> None:
        if self._writer is None or self._ending is not None:
            return  # before ACCEPT there is nothing to say, after the end no need
        if self._flow.credit_due():
            received, limit = self._flow.credit()
            fields = pack(Progress(durable=self._durable))
            message = Message(
                Type.CREDIT, self.id, offset=received, limit=limit, fields=fields
            )
            self.desk.send(self, message)

    def _result(self, kept: Kept) -> None:
        answer = {"size": kept.size, "durable": kept.durable}
        if kept.identity is not None:
            self.answer({**answer, "identity": kept.identity})
        else:
            self.answer(dict(answer))

    def _settled(self, kept: Kept) -> None:
        self._durable = kept.durable
        if self._error is not None:
            self.refuse(self._with_durable(self._error))
        elif self._ending is _Ending.DROP:
            self.refuse(self._with_durable(cancelled()))
        else:
            self._result(kept)

    def _with_durable(self, error: StorageError) -> StorageError:
        if error.durable is None and self._writer is not None:
            error.durable = self._durable
        return error

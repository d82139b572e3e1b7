"""A download: pieces within the client's credit, the last one in the RESULT. Pure.

Reading starts with a small piece, so that a small object is one RESULT and a large
one begins at once, and goes on in larger ones. The next piece is read while ZeroMQ
sends the last; none is read ahead of the credit, since a worker with hundreds of
slow clients would hold a chunk for each. Pages of a listing cannot be cut to the
credit, so that one of them may wait for it.

With a lane of memory the pieces are read straight into it. With one of a file there
is nothing to read: when the client has it, the stream is complete.
"""

from __future__ import annotations

import math
from collections import deque

from ..broker.flow import Outflow
from ..broker.messages import LANE_FILE, PAGE_BYTES_MAX, Accepted, Operation, pack
from ..broker.wire import CHUNK_BYTES_MAX, Flag, Message, Type
from ..drivers.errors import StorageError
from .download_jobs import (
    CloseSource,
    Filled,
    FillLane,
    OpenSource,
    Pieces,
    ReadSource,
)
from .jobs import Job, Outcome
from .lanes import Offer, Taken
from .schedule import Task
from .sources import Source
from .streams import Arrival, Desk, Stream, cancelled

PIECE_BYTES = (65_536, 262_144, CHUNK_BYTES_MAX)
"""Sizes of the first, the second and all further pieces of an object."""
ALIGNED_BYTES = 1_048_576
"""Pieces end where its multiples are in the stream, so that whoever reads as much, or
half of it, at a time gets it of one piece: what lies across two is copied twice."""
PIECES_PER_READ = 2
"""Of the largest ones: handing a job to a thread and back costs as much for two."""
PAGES_BYTES_MAX = 262_144
"""Pages that one job may make."""


class Download(Stream):
    """A read, list or walk.

    Args:
        desk, arrival: see `Stream`.
        chunk_bytes_max: largest payload that the broker takes.
    """

    __slots__ = (
        "_accepted",
        "_by_lane",
        "_chunk_bytes_max",
        "_error",
        "_flow",
        "_handed_over",
        "_held",
        "_lane_open",
        "_last",
        "_offer",
        "_read",
        "_source",
    )

    def __init__(
        self,
        desk: Desk,
        arrival: Arrival,
        chunk_bytes_max: int = CHUNK_BYTES_MAX,
    ) -> None:
        super().__init__(desk, arrival)
        self._chunk_bytes_max = chunk_bytes_max
        self._flow = Outflow(arrival.opened.limit)
        self._read = 0  # pieces read so far
        self._held: deque[bytes] = deque()
        self._last = False
        self._source: Source | None = None
        self._accepted = False
        self._offer: Offer | None = None
        self._handed_over = False
        self._by_lane = False
        self._lane_open = True  # whether the client can grant more by the lane
        self._error: StorageError | None = None

    # -- events ---------------------------------------------------------------

    def begin(self, now: float) -> None:
        size = self._size_to_read()
        job = OpenSource(self.operation, self.request, size, self.lanes)
        self.run(job, now + self.budget_s, now)

    def received(self, message: Message, now: float) -> None:
        if message.type in (Type.CANCEL, Type.DETACH):
            self.fail(cancelled(), now)
        elif message.type is Type.CREDIT and self._error is None:
            self._flow.credit(message.offset, message.limit)
            self._advance(now)

    def went(self, task: Task, outcome: Outcome, now: float) -> None:
        if outcome.error is not None:
            if outcome.ran:
                self._source = None  # a job that fails closes it
            self.fail(outcome.error, now)
            return
        if isinstance(outcome.value, Pieces):
            self._take(outcome.value)
        elif isinstance(outcome.value, Filled):
            self._filled(outcome.value, now)
        elif isinstance(task.job, CloseSource) and not self._handed_over:
            self._source = None
        if self._error is not None:
            self.fail(self._error, now)
        else:
            self._advance(now)

    def lane_taken(self, taken: Taken, now: float) -> None:
        self._handed_over = taken is None
        super().lane_taken(taken, now)
        if self._handed_over and self._error is None and self._source is not None:
            self._last = True
            self.run(CloseSource(self._source), math.inf, now)

    def rang(self, now: float) -> None:
        super().rang(now)
        if self._error is None and not self._last and self._source is not None:
            self.run(self._fill_lane(), now + self.budget_s, now, bulk=True)

    def release(self, now: float) -> None:
        self.fail(cancelled(), now)

    def fail(self, error: StorageError, now: float) -> None:
        if self._error is None:
            self._error = error
        self._held.clear()
        closing = self.task is not None and isinstance(self.task.job, CloseSource)
        if closing or not self.withdraw():
            return  # when the driver lets go
        if self._source is not None and not self._last:
            self.run(CloseSource(self._source), math.inf, now)
            self._last = True
        else:
            self.refuse(self._error)

    @property
    def shows_progress(self) -> bool:
        return self._source is None or self.operation != Operation.READ

    # -- bytes ----------------------------------------------------------------

    def _take(self, got: Pieces) -> None:
        self._source = got.source
        self._last = got.last
        self._offer = got.offer
        self._held.extend(got.pieces)
        self._read += 1

    def _advance(self, now: float) -> None:
        """Send what the credit allows, then have more read, or end."""
        while self._held and len(self._held[0]) <= self._flow.room:
            if self._last and len(self._held) == 1:
                self._complete(self._held.popleft())
                return
            self._send(self._held.popleft())
        if self._last and not self._held:
            self._complete(b"")
            return
        if self._source is not None and not self._accepted:
            self._accept()
        if self._held or self._last or self.task is not None or self._is_file_offered:
            return
        size = self._size_to_read()
        if size and self._source is not None:
            self.run(self._reading(size), now + self.budget_s, now, bulk=True)
        elif self._by_lane and self._lane_open:
            self.desk.listen(self)

    @property
    def _is_file_offered(self) -> bool:
        """Whether the stream waits until its client has taken the file."""
        return self.offered is not None and self.offered.kind == LANE_FILE

    def _reading(self, size: int) -> Job:
        assert self._source is not None
        if self.lane is None:
            return ReadSource(self._source, size)
        return self._fill_lane()

    def _fill_lane(self) -> FillLane:
        assert self._source is not None and self.lane is not None
        flow, silent = self._flow, not self._by_lane
        return FillLane(self._source, self.lane, flow.sent, flow.limit, silent)

    def _size_to_read(self) -> int:
        """How much to read next; 0 without credit for any of it."""
        if self.operation != Operation.READ:
            return max(PAGE_BYTES_MAX, min(self._flow.room, PAGES_BYTES_MAX))
        size, largest = self._piece_bytes(), PIECE_BYTES[-1]
        if self.lane is None and size == largest:
            size *= PIECES_PER_READ
        return min(self._flow.room, size)

    def _piece_bytes(self) -> int:
        to_boundary = ALIGNED_BYTES - self._flow.sent % ALIGNED_BYTES
        wanted = PIECE_BYTES[min(self._read, len(PIECE_BYTES) - 1)]
        return min(wanted, to_boundary, self._chunk_bytes_max)

    def _send(self, piece: bytes) -> None:
        if not self._accepted:
            self._accept()
        offset = self._flow.send(len(piece))
        flags = self._flags()
        message = Message(Type.DATA, self.id, flags=flags, offset=offset, payload=piece)
        self.desk.send(self, message)

    def _filled(self, filled: Filled, now: float) -> None:
        """More lies in the lane. The broker passes the first of it on, and so knows
        that the stream has left it; of what follows the lane's bell has told."""
        self._last = filled.last
        self._lane_open = not filled.cut
        before = self._flow.sent
        self._flow.catch_up(filled.sent)
        if filled.limit > self._flow.limit:
            self.heard = now
            self._flow.limit = filled.limit
        count = filled.sent - before
        if count and not self._by_lane and self._error is None:
            self._by_lane = True
            message = Message(
                Type.DATA, self.id, flags=int(Flag.WANT), offset=before, lane=count
            )
            self.desk.send(self, message)

    def _flags(self) -> int:
        """WANT, when the credit that is left does not do for what is due."""
        if self._held:
            due = len(self._held[0])
        elif self.operation == Operation.READ:
            due = self._piece_bytes()
        else:
            due = PAGE_BYTES_MAX
        more = bool(self._held) or not self._last
        return int(Flag.WANT) if more and self._flow.room < due else 0

    def _accept(self) -> None:
        self._accepted = True
        identity = self._source.identity if self._source is not None else None
        fields = pack(Accepted(identity, **self.offer_lane(self._offer)))
        self._offer = None
        self.desk.send(self, Message(Type.ACCEPT, self.id, fields=fields))

    def _complete(self, piece: bytes) -> None:
        offset = 0 if self._handed_over else self._flow.send(len(piece))
        identity = self._source.identity if self._source is not None else None
        self.answer({"identity": identity}, piece, offset)

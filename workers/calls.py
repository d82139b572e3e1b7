"""A call: one job, one answer. Pure."""

from __future__ import annotations

from ..broker.messages import INLINE_BYTES_MAX, Operation
from ..broker.wire import Message, Type
from ..drivers.errors import StorageError, TooLargeError
from .call_jobs import CallDriver
from .jobs import Outcome
from .schedule import Task
from .streams import Arrival, Desk, Stream, cancelled


class Call(Stream):
    """A call."""

    __slots__ = ("_content", "_expires")

    is_call = True

    def __init__(self, desk: Desk, arrival: Arrival) -> None:
        super().__init__(desk, arrival)
        # A copy of its own, as the frame's buffer belongs to ZeroMQ.
        self._content = bytes(arrival.opened.payload)
        self._expires = arrival.at + self.budget_s

    def begin(self, now: float) -> None:
        if self.standing is not None and self.operation == Operation.PUT:
            # A move or delete that moves on may last longer than its budget.
            self.standing.expires = self._expires
        if len(self._content) > INLINE_BYTES_MAX:
            what = f"a put takes at most {INLINE_BYTES_MAX} bytes; use an upload"
            self.refuse(TooLargeError(what, path=self.request.path))
            return
        job = CallDriver(self.operation, self.request, self._content)
        self.run(job, self._expires, now)

    def received(self, message: Message, now: float) -> None:
        # What the driver has begun, it ends, or breaks off before anything of it can
        # be seen: only its own answer says what it did.
        if message.type in (Type.CANCEL, Type.DETACH):
            self.release(now)

    def went(self, task: Task, outcome: Outcome, now: float) -> None:
        if outcome.error is not None:
            self.refuse(outcome.error)
        else:
            self.answer(outcome.value)

    def release(self, now: float) -> None:
        if self.withdraw():
            self.refuse(cancelled())
        elif self.standing is not None:
            self.standing.revoke(cancelled())

    def fail(self, error: StorageError, now: float) -> None:
        if self.withdraw():
            self.refuse(error)

    @property
    def shows_progress(self) -> bool:
        return True

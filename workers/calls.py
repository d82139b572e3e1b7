"""A call: one job, one answer. Pure."""

from __future__ import annotations

from ..broker.messages import INLINE_BYTES_MAX
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
        if len(self._content) > INLINE_BYTES_MAX:
            what = f"a put takes at most {INLINE_BYTES_MAX} bytes; use an upload"
            self.refuse(TooLargeError(what, path=self.request.path))
            return
        job = CallDriver(self.operation, self.request, self._content)
        self.run(job, self._expires, now)

    def received(self, message: Message, now: float) -> None:
        # What the driver has begun, it ends: only its own answer says what it did.
        if message.type in (Type.CANCEL, Type.DETACH) and self.withdraw():
            self.refuse(cancelled())

    def went(self, task: Task, outcome: Outcome, now: float) -> None:
        if outcome.error is not None:
            self.refuse(outcome.error)
        else:
            self.answer(outcome.value)

    def release(self, now: float) -> None:
        if self.withdraw():
            self.refuse(cancelled())

    def fail(self, error: StorageError, now: float) -> None:
        if self.withdraw():
            self.refuse(error)

    @property
    def shows_progress(self) -> bool:
        return True

"""Calls by a call lane: taken when they can be run at once, else left to the broker.

Pure; PROTOCOL.md section 9.2. The broker does not know of these calls, so there is no
queue for them: the loop runs one after the other itself, as it does with all quick jobs
(`pace`), and declines what would have to wait or might hold it up. A client whose call
is declined has it done by the broker, which knows who has time for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from ..broker.lanes import Descriptor
from ..broker.messages import (
    DIRECT,
    INLINE_BYTES_MAX,
    OWN_FAULTS,
    Open,
    Operation,
    error_message,
    parse,
)
from ..broker.packets import CLOCK_S_MAX, Span
from ..broker.wire import Message, Type, pack_map
from ..drivers.errors import (
    BusyError,
    CancelledError,
    Executed,
    ProtocolError,
    StorageError,
    UnsupportedMethodError,
)
from ..drivers.progress import Steps
from ..drivers.standing import Lease, Standing
from .call_jobs import CallDriver
from .direct_jobs import DIRECT_DOWNLOADS, ReadWhole, Whole
from .jobs import Answer, Job, Outcome
from .schedule import Schedule, Task

CLOCKS_S = 60.0
"""How long a client with another clock than the worker's had better try no more."""


class Reply(NamedTuple):
    """Send an answer by a call lane.

    Attributes:
        lane: its number.
        message: RESULT or ERROR.
        file: a descriptor that goes with it.
    """

    lane: int
    message: Message
    file: Descriptor | None = None


class DirectCall:
    """A call that came by a call lane, from its OPEN to its answer.

    Attributes:
        lane: the number of its lane, which has no other call meanwhile.
        id: what the client calls it.
        operation: what it is to do.
        steps, standing: see `Stream`.
        answer: what to send; None before its end.
        file: what goes with it.
    """

    __slots__ = (
        "answer",
        "file",
        "id",
        "lane",
        "link",
        "operation",
        "standing",
        "steps",
    )

    def __init__(self, lane: int, opened: Message, standing: Standing | None) -> None:
        self.lane = lane
        self.link = link_of(lane)
        self.id = opened.stream
        self.operation = opened.code
        self.steps = Steps()
        self.standing = standing
        self.answer: Message | None = None
        self.file: Descriptor | None = None

    def finished(self, task: Task, outcome: Outcome, now: float) -> None:
        """The job has ended."""
        if outcome.error is not None:
            self.fail(outcome.error, now)
            return
        value = outcome.value
        payload = b""
        if isinstance(value, Whole):
            whole = value
            value, payload = {}, whole.payload
            if whole.identity is not None:
                value["identity"] = whole.identity
            if whole.offer is not None:
                self.file = whole.offer.file
                value["lane"] = whole.offer.kind
                value["lane_start"] = whole.offer.start
                value["lane_bytes"] = whole.offer.size
        self.answer = self._result(value, payload, outcome.driver_us)

    def fail(self, error: StorageError, now: float) -> None:
        """It ends with an error."""
        self.answer = error_message(error, self.id)

    def _result(self, value: Answer, payload: bytes, driver_us: int) -> Message:
        value["driver_us"] = driver_us
        try:
            fields = pack_map(value)
        except ProtocolError as error:
            what = f"the driver's answer cannot be sent: {error.detail}"
            return error_message(StorageError(what, executed=Executed.YES), self.id)
        return Message(Type.RESULT, self.id, fields=fields, payload=payload)


class Direct:
    """All of a worker's calls by lanes.

    Args:
        schedule: of the worker; a call that hangs counts there as one that runs.

    Attributes:
        done: how many have ended, but for those with an error that speaks against this
            worker: its client has them done by the broker, which counts them.
        leaving: whether the worker takes no more, and closes lanes without a call.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.done = 0
        self.leaving = False
        self._schedule = schedule
        self._calls: dict[int, DirectCall] = {}

    def asked(self, lane: int, opened: Message, now: float) -> Task | Reply:
        """A message has come by a lane: what to run, or what to say at once.

        Raises:
            ProtocolError: it breaks the protocol; the lane is to be closed.
        """
        if lane in self._calls:
            raise ProtocolError("a second call in a lane")
        if opened.type is not Type.OPEN:
            raise ProtocolError(f"{opened.type.name} in a call lane")
        span = Span.of(opened)
        standing = None
        if opened.code == Operation.PUT:
            standing = Standing(Lease(now, inf), span.expires)
        call = DirectCall(lane, opened, standing)
        if span.sent > now + CLOCK_S_MAX:
            return self.decline(call, "client and worker have two clocks", CLOCKS_S)
        try:
            job = _job(opened)
        except (ProtocolError, UnsupportedMethodError) as error:
            error.executed = Executed.NO
            return Reply(lane, error_message(error, opened.stream))
        self._calls[lane] = call
        return Task(call, job, span.expires, False, now)

    def begin(self, task: Task, now: float) -> bool:
        """Whether a call may run now; it counts as running then."""
        running = self._schedule.running
        if len(running) >= self._schedule.slots:
            return False
        task.started = now
        running.add(task)
        return True

    def decline(self, call: DirectCall, why: str, retry_after_s: float) -> Reply:
        """Leave a call to the broker.

        Args:
            call: it.
            why: in words.
            retry_after_s: seconds that calls like this one are better left to it.
        """
        self._calls.pop(call.lane, None)
        error = BusyError(why, executed=Executed.NO, retry_after_s=retry_after_s)
        return Reply(call.lane, error_message(error, call.id))

    def finished(self, task: Task, outcome: Outcome, now: float) -> Reply | None:
        """A job has ended; what to send, if anybody is there to hear it."""
        call = task.stream
        assert isinstance(call, DirectCall)
        self._schedule.running.discard(task)
        call.finished(task, outcome, now)
        if call.answer is not None and call.answer.code not in OWN_FAULTS:
            self.done += 1
        if self._calls.get(call.lane) is not call or call.answer is None:
            return None
        del self._calls[call.lane]
        return Reply(call.lane, call.answer, call.file)

    def idle(self, lanes: Iterable[int]) -> list[int]:
        """Those of some lanes that have no call."""
        return [lane for lane in lanes if lane not in self._calls]

    def gone(self, lane: int) -> None:
        """A lane is closed: its call must have no effect any more."""
        call = self._calls.pop(lane, None)
        if call is not None and call.standing is not None:
            gone = CancelledError("the client gave it up", executed=Executed.NO)
            call.standing.revoke(gone)


def link_of(lane: int) -> int:
    """What a call has in place of the number of a broker's connection."""
    return -1 - lane


def _job(opened: Message) -> Job:
    """What to do.

    Raises:
        ProtocolError, UnsupportedMethodError: nothing, for that reason.
    """
    if opened.code not in DIRECT:
        raise UnsupportedMethodError(f"operation {opened.code} by a call lane")
    request = parse(Open, opened.fields)
    if opened.code in DIRECT_DOWNLOADS:
        return ReadWhole(opened.code, request)
    if len(opened.payload) > INLINE_BYTES_MAX:
        raise ProtocolError(f"a put of {len(opened.payload)} bytes by a call lane")
    return CallDriver(opened.code, request, bytes(opened.payload))

"""What all of a worker's streams have in common: one terminal message, one job at a
time, limits on waiting. Pure; PROTOCOL.md section 6.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

from ..broker.messages import LANE_CALLS, Open, Progress, error_message, pack
from ..broker.wire import BUDGET_MS_DEFAULT, Message, Type, pack_map
from ..drivers.errors import (
    CancelledError,
    DeadlineExceededError,
    Executed,
    ProtocolError,
    StorageError,
)
from ..drivers.progress import Steps
from ..drivers.standing import Standing
from .jobs import Answer, Job, Outcome
from .lanes import Offer, Taken
from .schedule import Task

IDLE_S = 600.0
"""A client that neither sends nor grants for so long has lost its stream."""
PROGRESS_S = 5.0
"""Longest time between two PROGRESS messages while the driver moves on."""
PROGRESS_PART = 0.25
"""The same as a part of the stream's budget, where that is short."""


class Desk(Protocol):
    """What a stream may ask of the worker's machine."""

    def queue(self, task: Task) -> None:
        """Have a task run; its outcome comes back through `Stream.finished`."""

    def withdraw(self, task: Task) -> bool:
        """Give a task up; False when it runs already."""

    def send(self, stream: Stream, message: Message) -> None:
        """Send to the stream's client, unless that is gone."""

    def forget(self, stream: Stream) -> None:
        """The stream has ended."""

    def offer(self, stream: Stream, offer: Offer) -> str:
        """Let the stream's client have a lane; returns the side socket's address."""

    def offer_calls(self) -> dict[str, Any]:
        """Let a client have small calls done without the broker; returns what its
        RESULT says of it."""

    def withdraw_offer(self, token: bytes) -> None:
        """The lane is not to be had any more."""

    def listen(self, stream: Stream) -> None:
        """Tell the stream once when its lane's bell rings."""

    def let_go(self, lane: Taken) -> None:
        """The lane is of no more use."""


class Arrival(NamedTuple):
    """An OPEN that has arrived.

    Attributes:
        link: number of the broker connection that it came by.
        opened: the message.
        request: its map.
        queued_us: microseconds that it waited in the broker.
        at: when it arrived, in seconds.
        lanes: kinds of lanes that its client takes and this worker may offer.
        lane_bytes: for the segment of an upload.
    """

    link: int
    opened: Message
    request: Open
    queued_us: int
    at: float
    lanes: tuple[str, ...] = ()
    lane_bytes: int = 0


class Stream(ABC):
    """One operation from its OPEN to its terminal message.

    Args:
        desk: the worker's machine.
        arrival: the OPEN.

    Attributes:
        budget_s: seconds that each wait of the stream may last.
        heard: when the client last said something.
        progressed: when the last PROGRESS was sent.
        steps: the driver's signs that it moves on; `told` were told the client.
        standing: what a call or commit stands on; None for what changes nothing that
            others see.
        task: the job in hand; None while the stream waits for its client.
        unheard: whether nobody is there any more to hear of the outcome.
        is_call: whether it takes a slot, and not one of the worker's streams.
        lanes: see `Arrival`.
        offered: the lane that its client may take, while it stands.
        lane: the lane of memory that was taken.
    """

    __slots__ = (
        "budget_s",
        "desk",
        "driver_us",
        "heard",
        "id",
        "lane",
        "lanes",
        "link",
        "offered",
        "operation",
        "progressed",
        "queued_us",
        "request",
        "standing",
        "steps",
        "task",
        "told",
        "unheard",
    )

    is_call = False

    def __init__(self, desk: Desk, arrival: Arrival) -> None:
        opened = arrival.opened
        self.desk = desk
        self.link = arrival.link
        self.id = opened.stream
        self.operation = opened.code
        self.request = arrival.request
        self.budget_s = (opened.budget_ms or BUDGET_MS_DEFAULT) / 1000
        self.queued_us = arrival.queued_us
        self.driver_us = 0
        self.heard = arrival.at
        self.progressed = arrival.at
        self.steps = Steps()
        self.standing: Standing | None = None
        self.told = 0
        self.task: Task | None = None
        self.unheard = False
        self.lanes = arrival.lanes
        self.offered: Offer | None = None
        self.lane: Taken = None

    # -- events ---------------------------------------------------------------

    @abstractmethod
    def begin(self, now: float) -> None:
        """Queue the first job."""

    @abstractmethod
    def received(self, message: Message, now: float) -> None:
        """A message for this stream; those that make no sense here are ignored.

        Raises:
            ProtocolError, DataLossError: it breaks the protocol; the stream ends.
        """

    @abstractmethod
    def went(self, task: Task, outcome: Outcome, now: float) -> None:
        """The stream's job has ended."""

    @abstractmethod
    def release(self, now: float) -> None:
        """Nobody waits any more: end, and keep what an upload holds."""

    @abstractmethod
    def fail(self, error: StorageError, now: float) -> None:
        """End with an error as soon as the driver lets go."""

    @property
    @abstractmethod
    def shows_progress(self) -> bool:
        """Whether the job in hand is one that may take long without bytes."""

    @property
    def progress_s(self) -> float:
        """Seconds between two PROGRESS messages."""
        return min(PROGRESS_S, self.budget_s * PROGRESS_PART)

    def lane_taken(self, taken: Taken, now: float) -> None:
        """The client has what it was offered."""
        self.offered = None
        self.lane = taken

    def rang(self, now: float) -> None:
        """The lane's bell was heard, while no job was in hand."""
        self.heard = now

    def finished(self, task: Task, outcome: Outcome, now: float) -> None:
        """A job has ended; only the one that the stream waits for matters."""
        if task is not self.task:
            return
        self.task = None
        began = now if task.started is None else task.started
        self.queued_us += int((began - task.asked) * 1_000_000)
        self.driver_us += outcome.driver_us
        self.went(task, outcome, now)

    def tick(self, now: float) -> None:
        """Time has passed."""
        task = self.task
        if task is None:
            if now - self.heard >= IDLE_S:
                idle = f"the client was silent for {IDLE_S:.0f} seconds"
                self.fail(DeadlineExceededError(idle), now)
        elif (
            self.steps.done > self.told
            and now - self.progressed >= self.progress_s
            and self.shows_progress
        ):
            self.told = self.steps.done
            self.progressed = now
            fields = pack(Progress(done=self.told))
            self.desk.send(self, Message(Type.PROGRESS, self.id, fields=fields))

    # -- for the kinds of stream ----------------------------------------------

    def run(self, job: Job, expires: float, now: float, *, bulk: bool = False) -> None:
        """Queue the stream's next job."""
        self.task = Task(self, job, expires, bulk, now)
        self.desk.queue(self.task)

    def withdraw(self) -> bool:
        """Give up the job that waits; False when it runs already."""
        if self.task is None:
            return True
        if not self.desk.withdraw(self.task):
            return False
        self.task = None
        return True

    def offer_lane(self, offer: Offer | None) -> dict[str, Any]:
        """Let the client have a lane; returns what its ACCEPT says of it."""
        if offer is None or self.unheard:
            return {}
        self.offered = offer
        return offer.told(self.desk.offer(self, offer))

    def end_lane(self) -> None:
        """Take back what was offered, and let go of what was taken."""
        if self.offered is not None:
            self.desk.withdraw_offer(self.offered.token)
            self.offered = None
        if self.lane is not None:
            self.desk.let_go(self.lane)
            self.lane = None

    def answer(self, answer: Answer, payload: bytes = b"", offset: int = 0) -> None:
        """End well."""
        if LANE_CALLS in self.lanes:
            answer.update(self.desk.offer_calls())
        answer["queued_us"] = self.queued_us
        answer["driver_us"] = self.driver_us
        try:
            fields = pack_map(answer)
        except ProtocolError as error:
            what = f"the driver's answer cannot be sent: {error.detail}"
            self.refuse(StorageError(what, executed=Executed.YES))
            return
        message = Message(
            Type.RESULT, self.id, offset=offset, fields=fields, payload=payload
        )
        self.desk.send(self, message)
        self.desk.forget(self)

    def refuse(self, error: StorageError) -> None:
        """End with an error."""
        self.desk.send(self, error_message(error, self.id))
        self.desk.forget(self)


def cancelled() -> StorageError:
    """The error of what was given up before it had an effect."""
    return CancelledError("the client gave it up", executed=Executed.NO)

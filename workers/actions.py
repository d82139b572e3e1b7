"""What the worker's machine asks of its shell."""

from __future__ import annotations

from typing import NamedTuple

from ..broker.wire import Message
from .lanes import Offer, Taken
from .schedule import Task
from .streams import Stream


class Send(NamedTuple):
    """Send a message.

    Attributes:
        link: number of the broker connection.
        message: with the session's epoch in it.
    """

    link: int
    message: Message


class Start(NamedTuple):
    """Run a task's job, and report its outcome through `WorkerCore.finished`."""

    task: Task


class Offers(NamedTuple):
    """Hand something over to whoever shows its token; then `WorkerCore.lane_taken`."""

    offer: Offer


class Withdraw(NamedTuple):
    """An offer stands no longer."""

    token: bytes


class Listen(NamedTuple):
    """Report the bell of a stream's lane once, through `WorkerCore.rang`."""

    stream: Stream
    lane: Taken


class LetGo(NamedTuple):
    """A lane is of no more use."""

    lane: Taken


class Note(NamedTuple):
    """Write a line to the log.

    Attributes:
        text: the line.
        serious: whether somebody should look after it.
    """

    text: str
    serious: bool = False


class Stop(NamedTuple):
    """The worker's time is over.

    Attributes:
        code: exit code (PROTOCOL.md section 10).
        why: in words.
    """

    code: int
    why: str


Action = Send | Start | Offers | Withdraw | Listen | LetGo | Note | Stop

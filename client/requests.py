"""What an application asks of the client core, and what the core tells it.

Pure values. A request becomes one stream of the protocol; its events are told to the
key that it was opened with.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..broker.messages import Accepted, Open, Operation, Result, pack
from ..broker.wire import Message, Payload
from ..drivers.errors import StorageError

LONG_OPERATIONS = frozenset({Operation.MOVE, Operation.DELETE, Operation.WRITE})
"""Operations that may rightly outlast a deadline, for as long as their driver says by
PROGRESS that it moves on."""


class Request(NamedTuple):
    """One operation to perform.

    Attributes:
        operation: which.
        fields: its arguments, packed.
        budget_s: seconds that it may take; of a stream, until it has got further.
        payload: content of a put.
        window: bytes of a download that may arrive ahead of what was consumed.
        patience_s: seconds that it may go without progress from then on; no less than
            `budget_s`.
        mark: of a stream that does again what was done before, how far that is, in
            bytes: up to there nothing is progress. -1 where everything is.
    """

    operation: Operation
    fields: bytes
    budget_s: float
    payload: Payload = b""
    window: int = 0
    patience_s: float = 0.0
    mark: int = -1

    @classmethod
    def of(
        cls,
        operation: Operation,
        arguments: Open,
        budget_s: float,
        payload: Payload = b"",
        window: int = 0,
        patience_s: float = 0.0,
        mark: int = -1,
    ) -> Request:
        """The request for an operation with these arguments.

        Raises:
            ProtocolError: the arguments are above the limit of a map.
        """
        fields = pack(arguments)
        return cls(operation, fields, budget_s, payload, window, patience_s, mark)


class Accepting(NamedTuple):
    """The worker has opened the stream."""

    accepted: Accepted


class Arrived(NamedTuple):
    """The next bytes of a download."""

    payload: Payload


class InLane(NamedTuple):
    """From here on the bytes of a download lie in its lane.

    Attributes:
        offset: where they begin, as an offset of the stream.
        size: how many there are already.
    """

    offset: int
    size: int


class Sent(NamedTuple):
    """An upload has moved on.

    Attributes:
        sent: bytes that have left the queue of the core.
        limit: bytes may be sent below this offset.
        durable: bytes of the upload that survive the worker, as last reported.
        moved_at: when it last got further than ever; 0 when it has not yet.
    """

    sent: int
    limit: int
    durable: int
    moved_at: float = 0.0


class Moved(NamedTuple):
    """The driver has got further in what takes long.

    Attributes:
        at: when.
    """

    at: float


class Finished(NamedTuple):
    """The operation succeeded; nothing follows.

    Attributes:
        result: the answer.
        payload: of a call.
        size: bytes of a download, with those that came by a lane.
    """

    result: Result
    payload: Payload
    size: int = 0


class Failed(NamedTuple):
    """The operation failed; nothing follows."""

    error: StorageError


Event = Accepting | Arrived | InLane | Sent | Moved | Finished | Failed


class Output:
    """What a step of the core asks of its shell.

    Attributes:
        sends: messages, each with the index of the broker that it goes to.
        events: events, each with the key of its request.
    """

    __slots__ = ("events", "sends")

    def __init__(self) -> None:
        self.sends: list[tuple[int, Message]] = []
        self.events: list[tuple[Any, Event]] = []

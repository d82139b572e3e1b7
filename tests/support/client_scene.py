"""A client's machine with scripted brokers, a clock of its own and no socket."""

from __future__ import annotations

from typing import Any

from storagebus.broker.messages import (
    Hello,
    Open,
    Operation,
    Reason,
    Welcome,
    error_message,
    pack,
)
from storagebus.broker.wire import Message, Payload, Type, decode, encode
from storagebus.client.core import ClientCore
from storagebus.client.requests import Arrived, Event, Failed, Finished, Output, Request
from storagebus.drivers.errors import StorageError

HELLO = Hello(role="client", protocol=(1, 1), boot=b"0123456789abcdef")
STREAMS_MAX = 100


class ClientScene:
    """A machine, its brokers and its clock.

    Args:
        brokers: how many it knows.
        streams_max: what they allow in their WELCOME.

    Attributes:
        now: the time, in seconds.
        sent: all messages, each with the index of its broker, since the last `take`.
        told: all events by the key of their operation.
    """

    def __init__(self, brokers: int = 1, streams_max: int = STREAMS_MAX) -> None:
        self.now = 1_000.0
        self.streams_max = streams_max
        self.endpoints = [f"ipc:///run/broker{index}" for index in range(brokers)]
        self.core = ClientCore(self.endpoints, HELLO)
        self.sent: list[tuple[int, Message]] = []
        self.told: dict[Any, list[Event]] = {}
        self._epoch = 40

    def after(self, output: Output) -> list[Message]:
        """Note what the machine asks for; returns the messages."""
        for key, event in output.events:
            self.told.setdefault(key, []).append(event)
        # Through the frames, so that nothing is tested that cannot travel.
        messages = [
            decode(encode(message), from_broker=True) for _, message in output.sends
        ]
        indices = [index for index, _ in output.sends]
        self.sent += zip(indices, messages, strict=True)
        return messages

    def take(self) -> list[Message]:
        """The messages since the last call."""
        sent, self.sent = self.sent, []
        return [message for _, message in sent]

    # Brokers

    def connect(self, index: int = 0) -> None:
        """A connection stands, and the broker welcomes the client."""
        self.after(self.core.connected(index, self.now))
        self.welcome(index)

    def welcome(self, index: int = 0) -> None:
        """The broker answers a HELLO."""
        self._epoch += 1
        welcome = Welcome(f"b{index}", 1, 1 << 20, 1_000, self.streams_max)
        self.receive(
            Message(Type.WELCOME, epoch=self._epoch, fields=pack(welcome)), index
        )

    def say(
        self, kind: Type, stream: int, index: int = 0, content: Any = None, **more: Any
    ) -> list[Message]:
        """The broker sends a message of the present session."""
        if content is not None:
            more["fields"] = pack(content)
        epoch = self.core.brokers[index].session.epoch
        return self.receive(Message(kind, stream, epoch=epoch, **more), index)

    def fail(self, stream: int, error: StorageError, index: int = 0) -> None:
        """The broker ends a stream with an error."""
        epoch = self.core.brokers[index].session.epoch
        self.receive(error_message(error, stream, epoch), index)

    def go_away(self, reason: Reason, index: int = 0, detail: str = "") -> None:
        """The broker ends the session."""
        fields = pack_detail(detail)
        epoch = self.core.brokers[index].session.epoch
        self.receive(Message(Type.GOAWAY, code=reason, epoch=epoch, fields=fields))

    def receive(self, message: Message, index: int = 0) -> list[Message]:
        """The broker sends this."""
        return self.after(self.core.received(index, message, self.now))

    def lose(self, index: int = 0) -> None:
        """The connection goes."""
        self.after(self.core.disconnected(index, self.now))

    # The application

    def open(
        self,
        key: str,
        operation: Operation = Operation.STAT,
        budget_s: float = 10.0,
        window: int = 0,
        payload: Payload = b"",
        patience_s: float = 0.0,
        mark: int = -1,
    ) -> list[Message]:
        """Perform an operation."""
        arguments = Open("default", "/a")
        request = Request.of(
            operation, arguments, budget_s, payload, window, patience_s, mark
        )
        return self.after(self.core.open(key, request, self.now))

    def consumed(self, key: str, count: int) -> list[Message]:
        """The application takes bytes."""
        return self.after(self.core.consumed(key, count, self.now))

    def write(self, key: str, data: bytes) -> list[Message]:
        """The application sends bytes."""
        return self.after(self.core.write(key, data, self.now))

    def write_lane(self, key: str, count: int) -> list[Message]:
        """The application has put bytes into the lane."""
        return self.after(self.core.write_lane(key, count, self.now))

    def starve(self, key: str) -> list[Message]:
        """The application waits for credit for the lane."""
        return self.after(self.core.starve(key, self.now))

    def stall(self, key: str) -> list[Message]:
        """The application waits for the other end of the lane."""
        return self.after(self.core.stall(key, self.now))

    def move_on(self, key: str) -> list[Message]:
        """It has heard from there."""
        return self.after(self.core.move_on(key))

    def relax(self, key: str) -> list[Message]:
        """The application's call has ended."""
        return self.after(self.core.relax(key, self.now))

    def end(
        self, key: str, kind: Type, size: int = 0, within_s: float = 10.0
    ) -> list[Message]:
        """The application ends an upload.

        Args:
            key: which.
            kind: how.
            size: bytes that it has written, where some went by a lane.
            within_s: seconds that it has for a CANCEL.
        """
        return self.after(self.core.end(key, kind, size, within_s, self.now))

    def pass_time(self, seconds: float) -> None:
        """Let time pass; the machine is called whenever it asked to be."""
        end = self.now + seconds
        for _ in range(100_000):
            due = self.core.next_deadline(self.now)
            if due > end:
                break
            self.now = max(self.now, due)
            self.after(self.core.tick(self.now))
        else:
            raise AssertionError("the machine asks for ticks without end")
        self.now = end

    # What was told

    def events(self, key: str) -> list[Event]:
        """All events of an operation."""
        return self.told.get(key, [])

    def error(self, key: str) -> StorageError:
        """The error of an operation that has failed."""
        last = self.events(key)[-1]
        assert isinstance(last, Failed), last
        return last.error

    def finished(self, key: str) -> Finished:
        """The end of an operation that has succeeded."""
        last = self.events(key)[-1]
        assert isinstance(last, Finished), last
        return last

    def content(self, key: str) -> bytes:
        """All bytes that were told of a download."""
        return b"".join(
            bytes(event.payload)
            for event in self.events(key)
            if isinstance(event, Arrived)
        )


def pack_detail(detail: str) -> bytes:
    """The map of a GOAWAY."""
    from storagebus.broker.messages import Farewell

    return pack(Farewell(detail))

"""A broker's machine with scripted peers, a clock of its own and no socket.

The scene does what the loop does: it hands messages over, sends what the machine says,
and tells it what could not be delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from storagebus.broker.core import BrokerCore
from storagebus.broker.messages import Farewell, Hello, Open, Operation, pack, parse
from storagebus.broker.sessions import Door, Peer
from storagebus.broker.settings import BrokerSettings
from storagebus.broker.wire import Message, Type, decode, encode
from storagebus.drivers.errors import ProtocolError

EPOCH = 100
"""The first session of a scene has the epoch after this."""
PREFIX_DOORS = {"c": Door.CLIENTS, "w": Door.WORKERS}

Sent = tuple[str, Message]


def boot_of(name: str) -> bytes:
    """The boot id of a scripted peer: its name."""
    return name.encode().ljust(16, b"\0")[:16]


def hello_of(name: str, role: str, /, **changes: Any) -> Hello:
    """The greeting of a scripted peer."""
    given: dict[str, Any] = {
        "role": role,
        "protocol": (1, 1),
        "boot": boot_of(name),
        "name": name,
    }
    if role == "worker":
        given |= {
            "service": "default",
            "driver": "inmemory",
            "api_version": "1.0",
            "instance": "i",
            "slots": 2,
            "streams": 4,
        }
    return Hello(**given | changes)


class Scene:
    """A machine, its peers and its clock.

    Args:
        seed: for the machine's choice between workers.
        services: names that are configured.
        settings: limits other than the defaults.

    Attributes:
        core: the machine.
        now: the time, in seconds.
        gone: peers whose connection no longer exists.
        full: peers whose queue takes nothing more.
        epochs: the epoch of each peer's session, as it was told.
        check: called after every event; raises when an invariant is broken.
    """

    def __init__(
        self, seed: int = 0, services: tuple[str, ...] = ("default",), **settings: Any
    ) -> None:
        self.now = 1000.0
        given = BrokerSettings((), (), broker_id="b", services=services, **settings)
        self.core = BrokerCore(
            given, seed=EPOCH, chance=Random(seed), now=self.now, pid=7
        )
        self.gone: set[str] = set()
        self.full: set[str] = set()
        self.epochs: dict[str, int] = {}
        self.check: Callable[[], None] = lambda: None
        self._doors: dict[str, Door] = {}

    def peer(self, name: str) -> Peer:
        """The address of a peer: c... are at the clients' door, w... at the other."""
        return Peer(self._doors.get(name, PREFIX_DOORS[name[0]]), name.encode())

    def greet(
        self, name: str, /, role: str = "", door: Door | None = None, **changes: Any
    ) -> list[Sent]:
        """A peer says HELLO."""
        if door is not None:
            self._doors[name] = door
        role = role or self.peer(name).door.value.removesuffix("s")
        fields = pack(hello_of(name, role, **changes))
        return self.raw(name, Message(Type.HELLO, fields=fields))

    def say(self, name: str, kind: Type, stream: int = 0, **more: Any) -> list[Sent]:
        """A peer with a session sends a message."""
        epoch = self.epochs.get(name, 0)
        return self.raw(name, Message(kind, stream, epoch=epoch, **more))

    def open(
        self,
        name: str,
        stream: int,
        operation: Operation = Operation.STAT,
        path: str = "/a",
        *,
        service: str = "default",
        arguments: dict[str, Any] | None = None,
        **more: Any,
    ) -> list[Sent]:
        """A client sends an OPEN."""
        fields = pack(Open(service=service, path=path, **arguments or {}))
        return self.say(
            name, Type.OPEN, stream, code=int(operation), fields=fields, **more
        )

    def raw(self, name: str, message: Message | ProtocolError) -> list[Sent]:
        """A peer sends this; returns what the machine has sent, to whom."""
        if isinstance(message, Message):
            # Through the frames, so that nothing is tested that cannot travel.
            message = decode(encode(message), from_broker=False)
        self.core.received(self.peer(name), message, self.now)
        return self._flush()

    def lose(self, name: str) -> list[Sent]:
        """A peer's connection goes, and ZeroMQ says that one has gone."""
        self.gone.add(name)
        self.core.disconnected(self.peer(name).door, self.now)
        return self._flush()

    def pass_time(self, seconds: float) -> list[Sent]:
        """Let time pass; the machine is called whenever it asked to be."""
        sent: list[Sent] = []
        end = self.now + seconds
        while (due := self.core.next_deadline()) <= end:
            self.now = max(self.now, due)
            self.core.tick(self.now)
            sent += self._flush()
        self.now = end
        return sent

    def _flush(self) -> list[Sent]:
        sent: list[Sent] = []
        outbox = self.core.outbox
        while outbox:
            send = outbox.popleft()
            name = send.peer.routing_id.decode()
            if name in self.gone or name in self.full:
                self.core.undelivered(send, self.now)
                continue
            message = decode(encode(send.message), from_broker=True)
            if message.type is Type.WELCOME:
                self.epochs[name] = message.epoch
            elif message.type is Type.GOAWAY:
                self.epochs.pop(name, None)
            sent.append((name, message))
        self.check()
        return sent


def farewell(message: Message) -> str:
    """What a GOAWAY says."""
    return parse(Farewell, message.fields).detail

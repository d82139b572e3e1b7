"""Who is connected: the broker's side of a session, and its streams.

Records only; what happens to them is the business of `core`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from .budget import Flow
from .messages import NAME_CHARACTERS_MAX, STREAMS, Hello, Load, Operation
from .outliers import Score
from .wire import Message


class Door(StrEnum):
    """The two sockets of a broker. Strings, as their hash is a part of every peer's."""

    CLIENTS = "clients"
    WORKERS = "workers"


class Peer(NamedTuple):
    """The address of a peer: at which door, and the routing id ZeroMQ gave it."""

    door: Door
    routing_id: bytes


make_peer: Callable[[tuple[Door, bytes]], Peer] = partial(tuple.__new__, Peer)
"""A peer from both of its attributes, for every message: see `wire`."""


class Line(StrEnum):
    """What a stream waits for."""

    CALL = "a slot"
    STREAM = "a stream"
    SUSPECT = "a worker that has no other suspect"


class Stream:
    """One operation on its way from a client to a worker and back.

    Attributes:
        client: who asked; None once it is gone.
        client_stream: its id there.
        opened: the OPEN; its payload is let go with the stream.
        service: where it goes.
        holds_stream: whether it takes one of a worker's `streams`, else a slot.
        flow: the bytes on their way; None for calls.
        upload: whether these bytes go to the worker.
        worker: who has it; None while it waits.
        worker_stream: its id there.
        expires: when it is dropped if it still waits.
        arrived: when it arrived.
        attempt: how often it was given to a worker.
        held: whether its client is granted nothing, since it left too much unread.
        given_up: since when nobody waits for it, though a worker has it; else None.
        answered: whether its worker has sent anything.
        suspect: digest of a request with which workers were lost before; else None.
    """

    __slots__ = (
        "answered",
        "arrived",
        "attempt",
        "client",
        "client_stream",
        "expires",
        "flow",
        "given_up",
        "held",
        "holds_stream",
        "opened",
        "service",
        "suspect",
        "upload",
        "worker",
        "worker_stream",
    )

    def __init__(
        self,
        client: ClientSession,
        opened: Message,
        service: str,
        arrived: float,
        expires: float,
    ) -> None:
        self.client: ClientSession | None = client
        self.client_stream = opened.stream
        self.opened = opened
        self.service = service
        self.flow: Flow | None = None
        self.holds_stream = opened.code in STREAMS
        self.upload = opened.code == Operation.WRITE
        self.worker: WorkerSession | None = None
        self.worker_stream = 0
        self.arrived = arrived
        self.expires = expires
        self.attempt = 0
        self.held = False
        self.given_up: float | None = None
        self.answered = False
        self.suspect: bytes | None = None

    @property
    def line(self) -> Line:
        """What it waits for."""
        if self.suspect is not None:
            return Line.SUSPECT
        return Line.STREAM if self.holds_stream else Line.CALL


class ClientSession:
    """A client.

    Attributes:
        label: for logs, and for what the broker vouches for.
        spoken: whether it has used its epoch, and so has seen our WELCOME.
        drained: whether it has said, when told that the broker ends, that it opens
            nothing more.
    """

    __slots__ = (
        "drained",
        "epoch",
        "hello",
        "label",
        "last_stream",
        "peer",
        "spoken",
        "streams",
        "user",
    )

    def __init__(self, peer: Peer, epoch: int, hello: Hello) -> None:
        self.peer = peer
        self.epoch = epoch
        self.hello = hello
        self.label = f"{hello.name or 'client'}#{epoch}"[:NAME_CHARACTERS_MAX]
        self.user = ""
        self.spoken = False
        self.drained = False
        self.streams: dict[int, Stream] = {}
        self.last_stream = 0


class WorkerSession:
    """A worker.

    Attributes:
        id: its name in `status` and `drain`.
        spoken: whether it has used its epoch, and so has seen our WELCOME.
        slots: calls it runs at once; `calls` are in use.
        streams_max: streams it holds at once; `open` are in use.
        draining: no more work goes there.
        suspect: it has not answered; no work goes there until it does.
        stuck: it has not let go of a call for long that nobody waits for.
        score: how its answers compare with those of its siblings.
    """

    __slots__ = (
        "calls",
        "done",
        "draining",
        "epoch",
        "heard",
        "hello",
        "id",
        "last_stream",
        "load",
        "open",
        "peer",
        "pinged",
        "score",
        "slots",
        "spoken",
        "streams",
        "streams_max",
        "stuck",
        "suspect",
    )

    def __init__(self, peer: Peer, epoch: int, hello: Hello, now: float) -> None:
        self.peer = peer
        self.epoch = epoch
        self.hello = hello
        self.id = f"{hello.pid}-{hello.boot.hex()[:8]}"
        self.spoken = False
        self.slots = hello.slots
        self.streams_max = hello.streams
        self.calls = 0
        self.open = 0
        self.done = 0
        self.streams: dict[int, Stream] = {}
        self.last_stream = 0
        self.draining = False
        self.suspect = False
        self.stuck = False
        self.score = Score()
        self.heard = now
        self.pinged = now
        self.load = Load()

    @property
    def pressure(self) -> float:
        """How loaded it is, for comparing two workers."""
        return (self.calls + self.open) / max(1, self.slots)

    @property
    def is_quarantined(self) -> bool:
        """Whether it gets no new work as long as there is a worker without fault."""
        return self.stuck or self.score.until is not None

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against it."""
        return not (self.is_quarantined or self.suspect or self.draining)

    @property
    def state(self) -> str:
        """For `status`."""
        if self.draining:
            return "draining"
        if self.suspect:
            return "suspect"
        if self.stuck:
            return "stuck"
        return "ready" if self.score.until is None else "ejected"

    @property
    def key(self) -> str:
        """What its process is known by to whoever has started it."""
        return self.hello.cookie or self.id

    @property
    def has_suspect(self) -> bool:
        """Whether a call is here with which workers were lost before."""
        return any(stream.suspect is not None for stream in self.streams.values())

    def stuck_s(self, now: float) -> float:
        """Seconds since which it has not let go of a call that was given up."""
        since = [s.given_up for s in self.streams.values() if s.given_up is not None]
        return now - min(since) if since else 0.0

    def has_room(self, holds_stream: bool) -> bool:
        """Whether it can take one more call, or one more stream."""
        if self.draining or self.suspect:
            return False
        if holds_stream:
            return self.open < self.streams_max
        return self.calls < self.slots

    def take(self, stream: Stream) -> None:
        """Give it a stream."""
        self.last_stream += 1
        stream.worker = self
        stream.worker_stream = self.last_stream
        self.streams[self.last_stream] = stream
        if stream.holds_stream:
            self.open += 1
        else:
            self.calls += 1

    def drop(self, stream: Stream) -> None:
        """The stream has ended here."""
        if self.streams.pop(stream.worker_stream, None) is None:
            return
        self.done += 1
        if stream.holds_stream:
            self.open -= 1
        else:
            self.calls -= 1


Session = ClientSession | WorkerSession


class Sessions:
    """All sessions by peer."""

    def __init__(self) -> None:
        self._by_peer: dict[Peer, Session] = {}

    def __len__(self) -> int:
        return len(self._by_peer)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_peer.values()))

    def get(self, peer: Peer) -> Session | None:
        """The session of a peer."""
        return self._by_peer.get(peer)

    def add(self, session: Session) -> None:
        """Keep a session."""
        self._by_peer[session.peer] = session

    def remove(self, session: Session) -> bool:
        """Forget a session; False when it was forgotten before."""
        if self._by_peer.get(session.peer) is not session:
            return False
        del self._by_peer[session.peer]
        return True

    def at(self, door: Door) -> list[Session]:
        """The sessions at one door."""
        return [s for s in self._by_peer.values() if s.peer.door is door]

    def clients(self) -> list[ClientSession]:
        """The sessions of clients."""
        return [s for s in self._by_peer.values() if isinstance(s, ClientSession)]

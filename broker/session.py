"""A peer's session with one broker, seen from the peer: greeting, epoch, liveness.

Pure and role-neutral: workers and clients use the same machine. PROTOCOL.md section 5
is the specification. The shell tells it when the connection comes and goes, hands it
every message, and calls `tick` when `next_deadline` has come; it answers with what to
send and what has happened.

    DOWN --connected--> GREETING --WELCOME--> OPEN --GOAWAY, silence--> GREETING
      ^--disconnected--     (any)              |
                                               '--VERSION, REFUSED--> REFUSED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import NamedTuple

from ..drivers.errors import (
    AccessDeniedError,
    Executed,
    IncompatibleVersionError,
    ProtocolError,
    StorageError,
    UnavailableError,
)
from .messages import Farewell, Hello, Reason, Welcome, pack, parse
from .wire import Message, Type

GREETING_MS = 1_000
"""How long to wait for a WELCOME before HELLO is said again."""
PAUSE_MS = 1_000
"""Pause before the next HELLO after the broker complained of our protocol."""
SILENT_BEATS = 5
"""Heartbeats without a sign of life after which the session counts as lost."""


class State(Enum):
    """Where a session is."""

    DOWN = "down"
    GREETING = "greeting"
    OPEN = "open"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Opened:
    """The broker has welcomed us; streams may be opened."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Lost:
    """The session is over, and so are its streams; it will greet again by itself."""

    error: StorageError


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker will not have us; trying again is of no use."""

    error: StorageError


class Delivered(NamedTuple):
    """A message of this session that is not the session's own business."""

    message: Message


Event = Opened | Lost | Refused | Delivered


class PeerSession:
    """The machine.

    Args:
        hello: what the peer says of itself.

    Attributes:
        state: see the module.
        epoch: the session's number; 0 outside OPEN.
        welcome: what the broker said, while OPEN.
        hello: replaceable while no session is open (a worker's numbers change).
        waiting: whether silence matters; the owner sets it while it has streams open.
        probe_s: silence in seconds after which to ask, if that is less than a
            heartbeat; set by an owner who could turn to another broker.
        asked: when the first PING was sent that nothing has followed; else None.
    """

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.state = State.DOWN
        self.epoch = 0
        self.welcome: Welcome | None = None
        self.waiting = hello.role == "worker"
        self.probe_s = inf
        self.asked: float | None = None
        self._heard = 0.0
        self._pinged = 0.0
        self._greet_at = 0.0
        self._answered = 0  # the epoch that the last HELLO has got us, if one

    def connected(self, now: float) -> list[Message]:
        """The connection stands; greet."""
        if self.state is State.REFUSED:
            return []
        self.state = State.GREETING
        return self._greet(now)

    def disconnected(self, now: float) -> list[Event]:
        """The connection is gone; it comes back by itself, as a new session."""
        if self.state is State.REFUSED:
            return []
        was_open = self.state is State.OPEN
        self._leave(State.DOWN)
        return (
            [Lost(_gone("the connection to the broker was lost"))] if was_open else []
        )

    def hears(self, message: Message, now: float) -> bool:
        """Take a stream's message, as nearly all are; whether it is of this session,
        and not of another incarnation. For its owner it is as good as `Delivered`."""
        if self.state is not State.OPEN or message.epoch != self.epoch:
            return False
        self._heard = now
        self.asked = None
        return True

    def received(
        self, message: Message, now: float
    ) -> tuple[list[Message], list[Event]]:
        """Take a message; returns what to send and what has happened."""
        if message.stream:
            return [], [Delivered(message)] if self.hears(message, now) else []
        if message.type is Type.WELCOME:
            return self._welcomed(message, now)
        if message.type is Type.GOAWAY:
            if self.epoch and message.epoch not in (0, self.epoch):
                return [], []
            return self._dismissed(message, now)
        if self.state is not State.OPEN or message.epoch != self.epoch:
            return [], []  # of another incarnation
        self._heard = now
        self.asked = None
        if message.type is Type.PING:
            if self.hello.role == "client":
                return [self.pong(message)], []
            return [], [Delivered(message)]  # a worker adds its load
        if message.type is Type.PONG:
            return [], []
        return [], [Delivered(message)]

    def pong(self, ping: Message, fields: bytes = b"") -> Message:
        """The answer to a PING."""
        return Message(Type.PONG, offset=ping.offset, epoch=self.epoch, fields=fields)

    def tick(self, now: float) -> tuple[list[Message], list[Event]]:
        """Time has passed: greet again, ping, or give the broker up for silent."""
        if self.state is State.GREETING and now >= self._greet_at:
            return self._greet(now), []
        if self.state is not State.OPEN or not self.waiting or self.welcome is None:
            return [], []
        beat = self.welcome.heartbeat_ms / 1000
        silent = now - self._heard
        if silent >= SILENT_BEATS * beat:
            self._leave(State.GREETING)
            lost = Lost(_gone(f"the broker was silent for {silent:.1f} s"))
            return self._greet(now), [lost]
        ask = min(beat, self.probe_s)
        if silent >= ask and now - self._pinged >= ask:
            self._pinged = now
            if self.asked is None:
                self.asked = now
            return [Message(Type.PING, offset=1, epoch=self.epoch)], []
        return [], []

    def next_deadline(self, now: float) -> float | None:
        """When `tick` has something to do, on the clock of `now`; None for never."""
        if self.state is State.GREETING:
            return self._greet_at
        if self.state is State.OPEN and self.waiting and self.welcome is not None:
            beat = min(self.welcome.heartbeat_ms / 1000, self.probe_s)
            return max(self._heard, self._pinged) + beat
        return None

    def wait(self, waiting: bool, now: float) -> None:
        """Say whether silence matters from now on."""
        if waiting and not self.waiting:
            # The broker owes a client without streams nothing, so that earlier
            # silence says nothing about it.
            self._heard = max(self._heard, now)
        if waiting != self.waiting:
            self.asked = None
        self.waiting = waiting

    def goodbye(self, detail: str) -> list[Message]:
        """The last message of a peer that ends in good order."""
        if self.state is not State.OPEN:
            return []
        fields = pack(Farewell(detail))
        epoch = self.epoch
        self._leave(State.DOWN)
        return [Message(Type.GOAWAY, code=Reason.SHUTDOWN, epoch=epoch, fields=fields)]

    def abort(
        self, reason: Reason, detail: str, now: float
    ) -> tuple[list[Message], list[Event]]:
        """End the session from this side, because the broker broke the protocol or
        takes nothing; it greets again after a pause."""
        if self.state in (State.DOWN, State.REFUSED):
            return [], []
        last: list[Message] = []
        lost: list[Event] = []
        if self.state is State.OPEN:
            fields = pack(Farewell(detail[:1000]))
            last = [Message(Type.GOAWAY, code=reason, epoch=self.epoch, fields=fields)]
            lost = [Lost(_gone(detail))]
        self._leave(State.GREETING)
        self._greet_at = now + PAUSE_MS / 1000
        return last, lost

    def _greet(self, now: float) -> list[Message]:
        self._greet_at = now + GREETING_MS / 1000
        self._answered = 0
        return [Message(Type.HELLO, fields=pack(self.hello))]

    def _leave(self, state: State) -> None:
        self.state = state
        self.epoch = 0
        self.welcome = None
        self.asked = None

    def _welcomed(
        self, message: Message, now: float
    ) -> tuple[list[Message], list[Event]]:
        was_open = self.state is State.OPEN
        if self._answered and message.epoch <= self._answered:
            # A HELLO was said twice; this answers both. If that session has ended
            # meanwhile, the broker may not know, and has streams that we have not.
            return [], []
        if not was_open and self.state is not State.GREETING:
            return [], []
        welcome = parse(Welcome, message.fields)
        if not message.epoch:
            raise ProtocolError("WELCOME without an epoch")
        self.state = State.OPEN
        self.epoch = self._answered = message.epoch
        self.welcome = welcome
        self._heard = self._pinged = now
        self.asked = None
        # The broker's word decides which session it is: it may have replaced ours.
        lost = [Lost(_gone("the broker began another session"))] if was_open else []
        return [], [*lost, Opened(welcome)]

    def _dismissed(
        self, message: Message, now: float
    ) -> tuple[list[Message], list[Event]]:
        was_open = self.state is State.OPEN
        detail = parse(Farewell, message.fields).detail
        final = _FINAL.get(message.code)
        if final is not None:
            self._leave(State.REFUSED)
            return [], [Refused(final(detail or "the broker refused this peer"))]
        if self.state is State.DOWN:
            return [], []
        self._leave(State.GREETING)
        lost: list[Event] = []
        if was_open:
            lost = [Lost(_gone(detail or "the broker ended the session"))]
        if message.code == Reason.UNKNOWN_PEER and was_open:
            return self._greet(now), lost
        self._greet_at = now + PAUSE_MS / 1000
        return [], lost


_FINAL: dict[int, type[StorageError]] = {
    Reason.VERSION: IncompatibleVersionError,
    Reason.REFUSED: AccessDeniedError,
}


def _gone(detail: str) -> StorageError:
    return UnavailableError(detail, executed=Executed.MAYBE)

"""The brokers of a client: what it knows of each, and which one it uses.

Pure. The list is in order of preference. A client stays with one broker while that
answers; it leaves one that has gone, that says it is about to end, or that leaves a
PING unanswered while another broker is there. To a broker that it prefers it returns
when that has been sound for a while, and for longer each time that this went wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import inf

from ..broker.addresses import is_local
from ..broker.messages import Hello
from ..broker.session import PeerSession, State
from ..drivers.errors import StorageError
from .streams import Stream

PROBE_S = 0.5
"""Silence after which a broker is asked for a sign of life while there is another."""
DOUBT_S = 0.5
"""How long it may then take; after that what can be done elsewhere is."""
RETURN_S = 10.0
"""How long a broker that failed must have been sound before it is used again."""
RETURN_S_MAX = 300.0
STEADY_S = 60.0
"""A broker that fails again within this time is left alone for twice as long."""
TOMBSTONES_MAX = 1_024
"""Operations given up of which a session remembers that the broker still has them."""


class Broker:
    """One broker, as this client knows it.

    Attributes:
        suspect: it has left a PING unanswered, and has not been heard since.
        leaving: it is about to end, and takes no new operation.
        sound_since: since when it has been usable without a break.
        hold_s: how long it must be so before a client returns to it.
    """

    def __init__(self, index: int, endpoint: str, hello: Hello) -> None:
        self.index = index
        self.endpoint = endpoint
        self.hello = hello
        self.session = PeerSession(hello)
        self.streams: dict[int, Stream] = {}
        self.tombstones: dict[int, None] = {}
        self.last_stream = 0
        self.refusal: StorageError | None = None
        self.suspect = False
        self.leaving = False
        self.sound_since = 0.0
        self.hold_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is a session with it."""
        return self.session.state is State.OPEN

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against giving it an operation."""
        return self.is_open and not self.suspect and not self.leaving

    @property
    def has_room(self) -> bool:
        """Whether one more operation stays below what the broker allows."""
        welcome = self.session.welcome
        used = len(self.streams) + len(self.tombstones)
        return welcome is not None and used < welcome.streams_max

    @property
    def is_owing(self) -> bool:
        """Whether the ends of operations are due from it. Those given up count: it may
        have lost the session, and would never end them."""
        return bool(self.streams or self.tombstones)

    def opened(self, now: float) -> None:
        """A session has begun."""
        self.refusal = None
        self.suspect = self.leaving = False
        self.sound_since = now

    def heard(self, now: float) -> None:
        """It has said something."""
        if self.suspect:
            self.suspect = False
            self.sound_since = now

    def failed(self, now: float) -> None:
        """It is gone, or does not answer: it has to prove itself again."""
        steady = now - self.sound_since >= STEADY_S
        doubled = min(RETURN_S_MAX, 2 * self.hold_s)
        self.hold_s = RETURN_S if steady else max(RETURN_S, doubled)

    def forget(self, stream: Stream, *, buried: bool = False) -> None:
        """The stream is over; buried, while the broker does not know it yet."""
        self.streams.pop(stream.id, None)
        if buried:
            self.tombstones[stream.id] = None
            if len(self.tombstones) > TOMBSTONES_MAX:
                del self.tombstones[next(iter(self.tombstones))]


class Brokers(list[Broker]):
    """All of them, the preferred one first.

    Args:
        endpoints: their addresses.
        hello: what the client says of itself.
        impatient: whether there are others beyond these, so that even the only one
            here is left when it does not answer.

    Attributes:
        current: the one that operations go to, as of the last choice.
    """

    def __init__(self, endpoints: Sequence[str], hello: Hello, impatient: bool) -> None:
        super().__init__(Broker(i, end, hello) for i, end in enumerate(endpoints))
        self.current = self[0]
        self._impatient = impatient

    def choose(self, now: float) -> Broker | None:
        """The broker for the next operation; None while none takes any."""
        chosen = self.current
        if not chosen.is_sound:
            sound = [broker for broker in self if broker.is_sound]
            # A broker in doubt may be all that there is.
            usable = sound or [b for b in self if b.is_open and not b.leaving]
            if not usable:
                return None
            chosen = usable[0]
        for better in self[: chosen.index]:
            if better.is_sound and now - better.sound_since >= better.hold_s:
                chosen = better
                break
        self.current = chosen
        return chosen

    def have_another(self, broker: Broker) -> bool:
        """Whether what this one does not do can be done elsewhere."""
        if self._impatient:
            return True
        return any(other.is_sound for other in self if other is not broker)

    def next_doubt(self, broker: Broker) -> float:
        """When a broker that has been asked becomes suspect; infinity for never."""
        asked = broker.session.asked
        if asked is None or broker.suspect or not self.have_another(broker):
            return inf
        return asked + DOUBT_S


def in_order(endpoints: Sequence[str], seed: bytes) -> tuple[str, ...]:
    """The order in which a process prefers brokers.

    Those of its own host come first. Among the others, and among those, chance decides
    (rendezvous hashing), so that many clients with the same list use all of them.

    Args:
        endpoints: checked addresses.
        seed: differs between processes.
    """

    def weight(endpoint: str) -> tuple[bool, bytes]:
        digest = hashlib.blake2b(endpoint.encode(), key=seed, digest_size=8).digest()
        return not is_local(endpoint), digest

    return tuple(sorted(endpoints, key=weight))

"""What the worker's machine knows of one broker connection. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import inf

from ..broker.messages import BOOT_BYTES, UNFENCED, Hello
from ..broker.session import PeerSession, State
from ..broker.wire import CHUNK_BYTES_MAX, Message, Type
from ..drivers.errors import Executed, StorageError, UnavailableError
from ..drivers.standing import Lease, Standing, lease_s
from .shares import Use, equal
from .streams import Stream

PROOF_FIRST = 1
"""Below the tokens of proofs: that of the session's own PINGs."""


class Link:
    """A connection to a broker.

    Args:
        number: its place in the list of endpoints.
        hello: what the worker says of itself there.

    Attributes:
        session: its greeting, epoch and liveness.
        streams: open streams by id.
        last_stream: the highest id seen in this session; ids rise.
        calls: its share of the slots, and what it uses of them.
        opens: its share of the streams, and what it uses of them.
        lease: of its session.
        proof: token of the PONG until which what arrives may be old; 0 for none.
        fenced: whether the broker has said that no OPEN follows.
        parting_at: when DRAINED was sent, which the broker answers; else None.
        closed: whether the worker has ended it for good.
    """

    def __init__(self, number: int, hello: Hello) -> None:
        self.number = number
        self.session = PeerSession(replace(hello, boot=_boot_of(hello.boot, number)))
        self.streams: dict[int, Stream] = {}
        self.last_stream = 0
        self.calls = Use(hello.slots)
        self.opens = Use(hello.streams)
        self.lease = Lease(-inf)
        self.proof = 0
        self._proofs = PROOF_FIRST
        self.fenced = False
        self.parting_at: float | None = None
        self.closed = False

    def offer_share(self, others: int, slots: int, streams: int) -> None:
        """What the worker offers with its next greeting.

        Args:
            others: brokers that have a share already.
            slots, streams: what there is to share.
        """
        self.session.hello = replace(
            self.session.hello,
            slots=equal(slots, others, others + 1),
            streams=equal(streams, others, others + 1),
        )

    def begin_lease(self, heartbeat_s: float, now: float) -> None:
        """A session has begun."""
        self.lease = Lease(now, lease_s(heartbeat_s))
        self.proof = 0

    def hear(self, message: Message, now: float) -> Message | None:
        """Something was heard; the PING to send, if that may be old.

        After too long a silence, what comes first may have been on its way all the
        while, and done elsewhere since. What follows the answer to a PING of now has
        been sent since.
        """
        if self.proof and message.type is Type.PONG and message.offset == self.proof:
            self.proof = 0
        was_silent = self.is_open and self.lease.silent_s(now)
        self.lease = self.lease.renewed(now)
        if not was_silent:
            return None
        self._proofs += 1
        self.proof = self._proofs
        return Message(Type.PING, offset=self.proof)

    def doubt(self, stream: Stream) -> StorageError | None:
        """Why a stream that was asked for just now must not be begun, if so."""
        return self._stale() if stream.operation in UNFENCED else None

    def admit(self, stream: Stream, message: Message, now: float) -> None:
        """A message for a stream has arrived. A commit stands on this session.

        Raises:
            UnavailableError: the commit must not be begun.
        """
        stream.heard = now
        if message.type is Type.COMMIT:
            stale = self._stale()
            if stale is not None:
                raise stale
            stream.standing = Standing(self.lease)

    def _stale(self) -> StorageError | None:
        if not self.proof:
            return None
        return UnavailableError(
            "the worker heard nothing for long; this may be old", executed=Executed.NO
        )

    @property
    def is_open(self) -> bool:
        """Whether streams may be open on it."""
        return self.session.state is State.OPEN

    def use_of(self, stream: Stream) -> Use:
        """The share that a stream takes from."""
        return self.calls if stream.is_call else self.opens

    @property
    def is_greeting(self) -> bool:
        """Whether a WELCOME may be under way, and work behind it."""
        return self.session.state is State.GREETING

    @property
    def features(self) -> tuple[str, ...]:
        """What is in force in its session beyond the core profile."""
        welcome = self.session.welcome
        return () if welcome is None else welcome.features

    @property
    def chunk_bytes_max(self) -> int:
        """Largest payload that both sides take."""
        welcome = self.session.welcome
        return (
            CHUNK_BYTES_MAX
            if welcome is None
            else min(welcome.chunk_max, CHUNK_BYTES_MAX)
        )


def _boot_of(boot: bytes, number: int) -> bytes:
    """The boot id for one link. Two addresses may lead to one broker, which takes a
    second greeting with the same id for the worker's return and ends the first."""
    return hashlib.sha256(boot + number.to_bytes(4)).digest()[:BOOT_BYTES]

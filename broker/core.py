"""The broker's machine: `(event, now) -> messages to send`.

Pure: no socket, clock, chance or log of its own. The loop hands it every message and
every loss of a peer, calls `tick` when `next_deadline` has come, and then sends what
`outbox` holds. Nothing it knows must survive it: after a restart peers greet again.

What it promises (PROTOCOL.md sections 5 and 6):

* a stream gets exactly one terminal message, whoever is lost;
* an OPEN goes to a second worker only when the first never got it;
* bytes in flight never exceed the budget, whatever any peer sends;
* a peer that breaks the protocol loses its own session and disturbs nobody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from ..drivers.errors import Executed, ProtocolError, UnavailableError
from . import admin
from .greeting import Refusal, welcome_of
from .messages import (
    BUS_SERVICE,
    UNFENCED,
    Farewell,
    Hello,
    Load,
    Open,
    Reason,
    Update,
    error_message,
    pack,
    parse,
)
from .notices import NOTICES_MAX, Joined, Left, Notice, TurnedAway
from .outliers import REVIEW_S, review
from .roster import Roster
from .sessions import ClientSession, Door, Peer, Session, Sessions, WorkerSession
from .settings import BrokerSettings
from .strangers import Strangers
from .switch import Switch
from .wire import Message, Type

SUSPECT_BEATS = 2
"""Heartbeats without an answer after which a worker gets no new work."""
STUCK_S = 5.0
"""How long a worker may hold on to a call that nobody waits for, before it gets no new
work; if that lasts, whoever has started it ends it (`workers/health.py`)."""
STANDSTILL_S = 0.5
"""A beat so late means that the broker stood still, or as good as that."""
DOUBT_S = 0.2
"""How long what arrives after that may have waited for it all the while."""
SWEEP_S = 0.05
"""Time in which lost connections are gathered before all at a door are pinged."""


class Send(NamedTuple):
    """An action: this message to that peer."""

    peer: Peer
    message: Message


class BrokerCore:
    """The machine.

    Args:
        settings: limits and names.
        seed: a number that no other start of a broker has; epochs count from it.
        chance: for the choice between workers.
        now: the time, in seconds, on the clock that all calls use.
        pid: process id, for `status`.
        admit: says why a worker may not join, or ""; how an owner that has started
            the workers itself recognizes them by their cookies.

    Attributes:
        outbox: what is to be sent, in order; the loop empties it.
        notices: news for the owner; the loop empties it too.
        counters: events counted since the start, by name.
        retiring: whether it is about to end, and has told its clients.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        seed: int,
        chance: Random,
        now: float,
        pid: int = 0,
        admit: Callable[[Hello], str] = lambda hello: "",
    ) -> None:
        self.settings = settings
        self.pid = pid
        self._admit = admit
        self.started = now
        self.outbox: deque[Send] = deque()
        self.notices: deque[Notice] = deque(maxlen=NOTICES_MAX)
        self.sessions = Sessions()
        self.roster = Roster(settings.services, chance)
        self.switch = Switch(settings, self.roster, self._send)
        self.counters = self.switch.counters | {
            "workers_lost": 0,
            "workers_crashed": 0,
            "workers_ejected": 0,
            "workers_silent": 0,
            "workers_stuck": 0,
            "workers_suspected": 0,
            "clients_lost": 0,
            "protocol_errors": 0,
        }
        self.switch.counters = self.counters
        self.retiring = False
        self._epoch = seed
        self._strangers = Strangers()
        self._beat_at = now
        self._doubt_until = now
        self._reviewed = now
        self._sweep_at: float | None = None
        self._sweep_doors: set[Door] = set()

    # -- events ---------------------------------------------------------------

    def received(
        self, peer: Peer, message: Message | ProtocolError, now: float
    ) -> None:
        """A message has arrived, or something that is none."""
        if now - self._beat_at > STANDSTILL_S:
            self._doubt_until = now + DOUBT_S
        session = self.sessions.get(peer)
        if isinstance(message, ProtocolError):
            self._offended(peer, session, message, now)
            return
        try:
            if message.type is Type.HELLO:
                self._greeted(peer, message, now)
                return
            if session is None or message.epoch != session.epoch:
                self._estranged(peer, message, now)
                return
            session.spoken = True
            if isinstance(session, ClientSession):
                _FROM_CLIENT.get(message.type, _unexpected)(self, session, message, now)
            else:
                self._heard(session, now)
                _FROM_WORKER.get(message.type, _unexpected)(self, session, message, now)
        except ProtocolError as error:
            self._offended(peer, self.sessions.get(peer), error, now)

    def undelivered(self, send: Send, now: float) -> None:
        """ZeroMQ did not take a message: its peer is gone, or reads nothing."""
        session = self.sessions.get(send.peer)
        if session is None:
            self.switch.unread.forget(send.peer)
        if session is None or session.epoch != send.message.epoch:
            return
        if isinstance(session, ClientSession):
            self._lose(session, now)
            self.switch.unread.forget(send.peer)
            return
        # What still waits behind this message will not be delivered either.
        behind = [other for other in self.outbox if other.peer == send.peer]
        # The last first, so that in the end the first is in front again.
        for unsent in (*reversed(behind), send):
            if unsent.message.type is Type.OPEN:
                self.switch.take_back(session, unsent.message.stream)
        self._lose(session, now)
        self.switch.feed(session.hello.service, now)

    def disconnected(self, door: Door, now: float) -> None:
        """A connection was lost at a door; nobody says whose.

        All there are pinged, since ZeroMQ refuses a message to a peer that is gone:
        workers at once, as calls wait for the news, and both once more after
        `SWEEP_S`: the event may come before the socket knows, and clients, who may be
        thousands, are pinged once for all that were lost in this time.
        """
        if door is Door.WORKERS:
            self._sweep(door)
        self._sweep_doors.add(door)
        if self._sweep_at is None:
            self._sweep_at = now + SWEEP_S

    def tick(self, now: float) -> None:
        """Time has passed: drop what has expired, look after silent workers."""
        self.switch.expire(now)
        if self._sweep_at is not None and now >= self._sweep_at:
            self._sweep_at = None
            for door in sorted(self._sweep_doors, key=lambda door: door.value):
                self._sweep(door)
            self._sweep_doors.clear()
        if now >= self._beat_at:
            self._beat_at = now + self.settings.heartbeat_ms / 1000
            self._beat(now)

    def next_deadline(self) -> float:
        """When `tick` is due, on the clock of `now`."""
        first, swept = self._beat_at, self._sweep_at
        if swept is not None and swept < first:
            first = swept
        due = self.switch.next_deadline()
        return first if due is None or due >= first else due

    def drain(self, worker: WorkerSession) -> None:
        """Unroute a worker, then tell it: after this message no OPEN follows."""
        worker.draining = True
        self._send(worker, Message(Type.DRAIN))

    def ended(self, cookie: str, *, crashed: bool) -> None:
        """Whoever has started a worker says how its process ended.

        Args:
            cookie: of its HELLO.
            crashed: whether by a fault of its own, and not a signal from outside.
        """
        self.switch.poison.ended(cookie, crashed=crashed)
        self.counters["workers_crashed"] += crashed

    def retire(self, now: float) -> None:
        """Send the clients elsewhere; what workers have in hand goes on."""
        self.retiring = True
        for session in self.sessions.at(Door.CLIENTS):
            self._send(session, Message(Type.DRAIN))
        self.switch.retire()

    @property
    def is_deserted(self) -> bool:
        """Whether every client has said that it opens nothing more here, and has
        nothing open."""
        clients = self.sessions.clients()
        return all(client.drained and not client.streams for client in clients)

    @property
    def is_idle(self) -> bool:
        """Whether no client has anything open."""
        return not any(client.streams for client in self.sessions.clients())

    # -- sessions -------------------------------------------------------------

    def _greeted(self, peer: Peer, message: Message, now: float) -> None:
        hello = parse(Hello, message.fields)
        earlier = self.sessions.get(peer)
        if earlier is not None:
            unused = not earlier.spoken and not earlier.last_stream
            if earlier.hello == hello and unused:
                # It said HELLO twice while our WELCOME was under way. Had it been
                # given work already, it may have lost that with a former session.
                self._welcome(earlier)
                return
            self._lose(earlier, now)
        self._epoch += 1
        session: Session
        try:
            welcome_of(hello, peer.door, self.settings, len(self.sessions))
            if hello.role == "worker":
                objection = self._admit(hello)
                if objection:
                    raise Refusal(Reason.REFUSED, objection)
                again = self.roster.with_boot(hello.boot)
                if again is not None:
                    self._lose(again, now)  # a new connection is a new incarnation
                session = WorkerSession(peer, self._epoch, hello, now)
                objection = self.roster.objection(session)
                if objection:
                    raise Refusal(Reason.REFUSED, objection)
                self.roster.add(session)
                # It has lost a connection, and not its life.
                self.switch.poison.returned(session.key)
            else:
                session = ClientSession(peer, self._epoch, hello)
                self.switch.unread.regreeted(peer)
        except Refusal as refusal:
            self.notices.append(TurnedAway(hello, refusal.reason, str(refusal)))
            self._dismiss(peer, refusal.reason, str(refusal), epoch=0)
            return
        self.sessions.add(session)
        self._welcome(session)
        if isinstance(session, WorkerSession):
            self.notices.append(Joined(hello, session.id))
            self.switch.feed(hello.service, now)
        elif self.retiring:
            self._send(session, Message(Type.DRAIN))

    def _welcome(self, session: Session) -> None:
        door, others = session.peer.door, len(self.sessions) - 1
        welcome = welcome_of(session.hello, door, self.settings, others)
        self._send(session, Message(Type.WELCOME, fields=pack(welcome)))

    def _estranged(self, peer: Peer, message: Message, now: float) -> None:
        if message.type is not Type.GOAWAY and self._strangers.may_tell(peer, now):
            detail = "this broker does not know this session; say HELLO"
            self._dismiss(peer, Reason.UNKNOWN_PEER, detail, epoch=message.epoch)

    def _offended(
        self, peer: Peer, session: Session | None, error: ProtocolError, now: float
    ) -> None:
        self.counters["protocol_errors"] += 1
        if session is not None:
            self._dismiss(peer, Reason.PROTOCOL, error.detail, epoch=session.epoch)
            self._lose(session, now)
        elif self._strangers.may_tell(peer, now):
            self._dismiss(peer, Reason.PROTOCOL, error.detail, epoch=0)

    def _dismiss(self, peer: Peer, reason: Reason, detail: str, *, epoch: int) -> None:
        fields = pack(Farewell(detail[:1000]))
        message = Message(Type.GOAWAY, code=reason, epoch=epoch, fields=fields)
        self.outbox.append(Send(peer, message))

    def _lose(self, session: Session, now: float) -> None:
        """A session is over: end its streams, on whichever side they are open."""
        if not self.sessions.remove(session):
            return
        if isinstance(session, ClientSession):
            self.counters["clients_lost"] += 1
            self.switch.client_lost(session, now)
        else:
            lost = not session.draining or bool(session.streams)
            self.counters["workers_lost"] += lost
            self.counters["workers_silent"] += lost and session.suspect
            self.notices.append(Left(session.hello, session.id))
            self.roster.remove(session)
            self.switch.worker_lost(session, now)

    def _heard(self, worker: WorkerSession, now: float) -> None:
        worker.heard = now
        if worker.suspect:
            worker.suspect = False
            self.switch.feed(worker.hello.service, now)

    def _sweep(self, door: Door) -> None:
        for session in self.sessions.at(door):
            self._send(session, Message(Type.PING, offset=2))
        for peer in self.switch.unread.peers():
            # Without a session, but perhaps with a connection and its full queue.
            if peer.door is door and self.sessions.get(peer) is None:
                self.outbox.append(Send(peer, Message(Type.PING, offset=2)))

    def _beat(self, now: float) -> None:
        beat = self.settings.heartbeat_ms / 1000
        for worker in self.roster.workers():
            silent = now - worker.heard
            if silent >= beat * SUSPECT_BEATS and worker.pinged > worker.heard:
                self.counters["workers_suspected"] += not worker.suspect
                worker.suspect = True
            worker.pinged = now
            self._send(worker, Message(Type.PING, offset=1))
        if now - self._reviewed >= REVIEW_S:
            self._reviewed = now
            self._review(now)

    def _review(self, now: float) -> None:
        """Who gets no new work, because of a stuck call or of its failures."""
        for service, workers in self.roster.services.items():
            before = sum(worker.is_quarantined for worker in workers)
            for worker in workers:
                stuck = worker.stuck_s(now) >= STUCK_S
                self.counters["workers_stuck"] += stuck and not worker.stuck
                worker.stuck = stuck
            ejected = review([worker.score for worker in workers], now)
            self.counters["workers_ejected"] += len(ejected)
            if sum(worker.is_quarantined for worker in workers) < before:
                self.switch.feed(service, now)
        self.roster.is_wary = any(w.is_quarantined for w in self.roster.workers())

    # -- messages -------------------------------------------------------------

    def _open(self, client: ClientSession, message: Message, now: float) -> None:
        if message.stream <= client.last_stream:
            raise ProtocolError(
                f"OPEN {message.stream} after {client.last_stream}: ids must rise"
            )
        client.last_stream = message.stream
        wanted = parse(Open, message.fields)
        if wanted.service == BUS_SERVICE:
            answer = admin.answer(self, wanted, message, now)
            self._send(client, answer, message.stream)
        elif now < self._doubt_until and message.code in UNFENCED:
            # Its client may long have turned to another broker, and written since.
            old = UnavailableError(
                "the broker stood still; this may be old", executed=Executed.NO
            )
            self._send(client, error_message(old, message.stream), message.stream)
        else:
            self.switch.open(client, wanted.service, message, now)

    def _upload(self, client: ClientSession, message: Message, now: float) -> None:
        self.switch.upload(client, message, now)

    def _cancel(self, client: ClientSession, message: Message, now: float) -> None:
        self.switch.cancel(client, message, now)

    def _credit(self, client: ClientSession, message: Message, now: float) -> None:
        self.switch.credit(client, message)

    def _answer(self, worker: WorkerSession, message: Message, now: float) -> None:
        self.switch.answer(worker, message, now)

    def _load(self, worker: WorkerSession, message: Message, now: float) -> None:
        load = parse(Load, message.fields)
        worker.score.good += max(0, load.direct - worker.load.direct)
        worker.load = load

    def _update(self, worker: WorkerSession, message: Message, now: float) -> None:
        update = parse(Update, message.fields)
        worker.slots = update.slots
        worker.streams_max = update.streams
        self.switch.feed(worker.hello.service, now)

    def _drain(self, worker: WorkerSession, message: Message, now: float) -> None:
        self.drain(worker)

    def _drained(self, client: ClientSession, message: Message, now: float) -> None:
        client.drained = True

    def _ping(self, session: Session, message: Message, now: float) -> None:
        self._send(session, Message(Type.PONG, offset=message.offset))

    def _caught_up(self, client: ClientSession, message: Message, now: float) -> None:
        self.switch.caught_up(client, message.offset)

    def _parted(self, worker: WorkerSession, message: Message, now: float) -> None:
        self._dismiss(worker.peer, Reason.SHUTDOWN, "drained", epoch=worker.epoch)
        self._lose(worker, now)

    def _ignore(self, session: Session, message: Message, now: float) -> None:
        """A message that needs nothing but to have been heard."""

    def _gone(self, session: Session, message: Message, now: float) -> None:
        self._lose(session, now)

    def _send(self, session: Session, message: Message, stream: int = 0) -> None:
        sent = message.readdressed(stream, session.epoch)
        self.outbox.append(Send(session.peer, sent))


def _unexpected(core: BrokerCore, session: Session, message: Message, _: float) -> None:
    raise ProtocolError(f"a {session.hello.role} does not send {message.type.name}")


_Handler = Callable[[BrokerCore, Any, Message, float], None]

_FROM_CLIENT: dict[Type, _Handler] = {
    Type.OPEN: BrokerCore._open,
    Type.DATA: BrokerCore._upload,
    Type.COMMIT: BrokerCore._upload,
    Type.DETACH: BrokerCore._upload,
    Type.CANCEL: BrokerCore._cancel,
    Type.CREDIT: BrokerCore._credit,
    Type.PING: BrokerCore._ping,
    Type.PONG: BrokerCore._caught_up,
    Type.DRAINED: BrokerCore._drained,
    Type.GOAWAY: BrokerCore._gone,
}

_FROM_WORKER: dict[Type, _Handler] = {
    Type.ACCEPT: BrokerCore._answer,
    Type.DATA: BrokerCore._answer,
    Type.CREDIT: BrokerCore._answer,
    Type.PROGRESS: BrokerCore._answer,
    Type.RESULT: BrokerCore._answer,
    Type.ERROR: BrokerCore._answer,
    Type.PING: BrokerCore._ping,
    Type.PONG: BrokerCore._load,
    Type.UPDATE: BrokerCore._update,
    Type.DRAIN: BrokerCore._drain,
    Type.DRAINED: BrokerCore._parted,
    Type.GOAWAY: BrokerCore._gone,
}

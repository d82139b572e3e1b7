"""The worker's machine: `(event, now) -> actions`.

Pure: no socket, clock, thread, chance or log of its own. One machine serves all
brokers that the worker has joined, since they share its slots and streams. The loop
hands it messages, news of the connections and the outcomes of driver work, calls
`tick` when `next_deadline` has come, and then does what `outbox` holds.

What it promises (PROTOCOL.md sections 5 and 6):

* a stream gets exactly one terminal message, whatever the driver raises;
* work that has expired is never begun;
* when a session ends, its uploads are kept and its readers are closed;
* every queue is bounded: by the slots and streams, and by each stream's window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from ..broker.messages import (
    Hello,
    Load,
    Open,
    Reason,
    Update,
    Vouched,
    error_message,
    pack,
    parse,
)
from ..broker.session import Delivered, Event, Lost, Opened, Refused
from ..broker.wire import BUDGET_MS_DEFAULT, Message, Type
from ..drivers.errors import (
    BusyError,
    Executed,
    ProtocolError,
    StorageError,
    UnavailableError,
    UnsupportedMethodError,
)
from ..drivers.standing import Standing
from .actions import Action, LetGo, Listen, Note, Offers, Send, Start, Stop, Withdraw
from .direct import Direct
from .drain import PART_S, Drain
from .exits import Exit
from .jobs import Outcome, too_late
from .kinds import make_stream
from .lanes import LaneTerms, Offer, Taken, calls_offer
from .links import Link
from .schedule import Schedule, Task
from .shares import RESHARE_S, REVIEW_S, Use, divide
from .streams import Arrival, Stream

CALLS_PER_SLOT_MAX = 4
"""Calls that may be here for each slot. A broker sends one; several brokers may
overlap for a moment while the slots are shared out anew."""
SWEEP_S = 0.1
"""How late work that expires in the queue is dropped."""
TICK_S = 1.0
"""How late a stream's PROGRESS or idle limit is, unless its budget is short."""
RETRY_AFTER_S = 0.2
"""What the caller is told to wait when the worker is full."""


class WorkerCore:
    """The machine.

    Args:
        hello: what the worker says of itself, with its total of slots and streams.
        links: number of brokers.
        lanes: what can be offered to clients of this host, if anything.

    Attributes:
        outbox: what is to be done, in order; the loop empties it.
        schedule: driver work that waits or runs.
        direct: calls that come past the brokers.
        lag_s: how late the loop is; the loop writes it, PONG tells it.
    """

    def __init__(
        self, hello: Hello, links: int, lanes: LaneTerms | None = None
    ) -> None:
        self.outbox: deque[Action] = deque()
        self.schedule = Schedule(hello.slots)
        self.direct = Direct(self.schedule)
        self.lag_s = 0.0
        self.links = [Link(number, hello) for number in range(links)]
        self._slots = hello.slots
        self._streams_max = hello.streams
        self._lanes = lanes
        self._offers: dict[bytes, Stream] = {}
        self._orphans: set[Stream] = set()
        self._calls = self._open = 0
        self._drain = Drain()
        self._stopped = False
        self._sweep_at: float | None = None
        self._tick_s = TICK_S
        self._reshare_at: float | None = None
        self._shared_at = 0.0

    # -- events ---------------------------------------------------------------

    def connected(self, number: int, now: float) -> None:
        """A connection stands."""
        link = self.links[number]
        if link.closed:
            return
        if link.is_open:
            self.disconnected(number, now)  # the news of it was overtaken
        others = sum(other.is_open for other in self.links if other is not link)
        link.offer_share(others, self._slots, self._streams_max)
        self._send_all(link, link.session.connected(now))

    def disconnected(self, number: int, now: float) -> None:
        """A connection is gone."""
        link = self.links[number]
        self._handle(link, link.session.disconnected(now), now)
        self._settle(now)

    def received(
        self, number: int, message: Message | ProtocolError, now: float
    ) -> None:
        """A message has arrived, or something that is none."""
        link = self.links[number]
        try:
            if isinstance(message, ProtocolError):
                raise message
            proof = link.hear(message, now)
            if proof is not None:
                self._send(link, proof)
            if message.stream and link.session.hears(message, now):
                self._delivered(link, message, now)
            else:
                send, events = link.session.received(message, now)
                self._send_all(link, send)
                self._handle(link, events, now)
        except ProtocolError as error:
            self._abort(link, error.detail, now)
        self._settle(now)

    def undelivered(self, number: int, now: float) -> None:
        """ZeroMQ did not take a message: the session cannot be trusted any more."""
        self._abort(self.links[number], "the broker takes no messages", now)
        self._settle(now)

    def finished(self, task: Task, outcome: Outcome, now: float) -> None:
        """A job that was started has ended."""
        self.schedule.ended(task)
        self._finish(task, outcome, now)
        self._settle(now)

    def lane_taken(self, token: bytes, taken: Taken, now: float) -> None:
        """A client has taken up the offer of this token."""
        stream = self._offers.pop(token, None)
        if stream is not None:
            stream.lane_taken(taken, now)
            self._settle(now)
        else:
            self.let_go(taken)  # the stream has ended meanwhile

    def rang(self, stream: Stream, now: float) -> None:
        """The bell of a stream's lane was heard, as the stream had asked."""
        if stream.lane is not None and stream.task is None:
            stream.rang(now)
            self._settle(now)

    def tick(self, now: float) -> None:
        """Time has passed."""
        for link in self.links:
            due = None if link.closed else link.session.next_deadline(now)
            if due is not None and now >= due:
                send, events = link.session.tick(now)
                self._send_all(link, send)
                self._handle(link, events, now)
        if self._sweep_at is not None and now >= self._sweep_at:
            self._sweep_at = None
            for task in list(self.schedule.expired(now)):
                self._finish(task, Outcome(error=too_late(), ran=False), now)
            for stream in list(self._streams()):
                stream.tick(now)
        if self._reshare_at is not None and now >= self._reshare_at:
            self._share_out(now)
        self._settle(now)

    def next_deadline(self, now: float) -> float | None:
        """When `tick` is due, on the clock of `now`; None for never."""
        if self._stopped:
            return None
        due = [
            link.session.next_deadline(now) for link in self.links if not link.closed
        ]
        due += [self._sweep_at, self._reshare_at, self._drain.next_deadline()]
        partings = (link.parting_at for link in self.links if not link.closed)
        due += [at + PART_S for at in partings if at is not None]
        return min((moment for moment in due if moment is not None), default=None)

    def drain(self, grace_s: float, now: float) -> None:
        """Take no new work, finish what is here, then stop.

        Args:
            grace_s: seconds after which what is left is detached.
            now: the time.
        """
        if not self._drain.begin(grace_s, now):
            return
        self.direct.leaving = True
        self.outbox.append(Note(f"draining, for {grace_s:g} s at most"))
        for link in self.links:
            if link.is_open and not link.fenced:
                self._send(link, Message(Type.DRAIN))
        self._settle(now)

    def halt(self, why: str, code: int = Exit.STOPPED) -> None:
        """Stop at once; the brokers are told, nothing is waited for."""
        for link in self.links:
            self._say_goodbye(link, why)
        self._stop(code, why)

    # -- what streams ask (Desk) ----------------------------------------------

    def queue(self, task: Task) -> None:
        """A stream has work for the driver."""
        self.schedule.add(task)

    def withdraw(self, task: Task) -> bool:
        """A stream gives its work up."""
        return self.schedule.withdraw(task)

    def send(self, stream: Stream, message: Message) -> None:
        """A stream says something."""
        if not stream.unheard:
            self._send(self.links[stream.link], message)

    def offer(self, stream: Stream, offer: Offer) -> str:
        """A stream offers its client a lane."""
        assert self._lanes is not None
        self._offers[offer.token] = stream
        self.outbox.append(Offers(offer))
        return self._lanes.address

    def offer_calls(self) -> dict[str, Any]:
        """A client may do without a broker for small calls from now on."""
        if self._lanes is None or self._drain.begun:
            return {}
        offer = calls_offer()
        self.outbox.append(Offers(offer))
        return offer.told(self._lanes.address)

    def withdraw_offer(self, token: bytes) -> None:
        """A stream offers it no longer."""
        if self._offers.pop(token, None) is not None:
            self.outbox.append(Withdraw(token))

    def listen(self, stream: Stream) -> None:
        """A stream waits for its lane's bell."""
        self.outbox.append(Listen(stream, stream.lane))

    def let_go(self, lane: Taken) -> None:
        """A lane is of no more use."""
        self.outbox.append(LetGo(lane))

    def forget(self, stream: Stream) -> None:
        """A stream has ended."""
        stream.end_lane()
        if stream.unheard:
            self._orphans.discard(stream)
        else:
            link = self.links[stream.link]
            if link.streams.pop(stream.id, None) is not None:
                link.use_of(stream).drop()
        if stream.is_call:
            self._calls -= 1
        else:
            self._open -= 1

    # -- sessions -------------------------------------------------------------

    def _handle(self, link: Link, events: list[Event], now: float) -> None:
        for event in events:
            if isinstance(event, Delivered):
                self._delivered(link, event.message, now)
            elif isinstance(event, Opened):
                hello = link.session.hello
                link.calls, link.opens = Use(hello.slots), Use(hello.streams)
                link.begin_lease(event.welcome.heartbeat_ms / 1000, now)
                link.last_stream = 0
                self.outbox.append(Note(f"joined broker {event.welcome.broker!r}"))
                self._share_out(now)
                if self._drain.begun:
                    self._send(link, Message(Type.DRAIN))
            elif isinstance(event, Lost):
                serious = not self._drain.begun
                self.outbox.append(Note(f"left a broker: {event.error}", serious))
                self._lost(link, now)
            elif isinstance(event, Refused):
                self._refused(link, event.error, now)

    def _lost(self, link: Link, now: float) -> None:
        """A session is over: what the driver has in hand ends by itself."""
        streams = list(link.streams.values())
        link.streams.clear()
        link.fenced = False
        link.parting_at = None
        link.closed = link.closed or self._drain.begun
        for stream in streams:
            stream.unheard = True
            self._orphans.add(stream)
        for stream in streams:
            stream.release(now)
        self._share_out(now)

    def _refused(self, link: Link, error: StorageError, now: float) -> None:
        link.closed = True
        self._lost(link, now)
        self.outbox.append(Note(f"refused by a broker: {error}", serious=True))
        if all(other.closed for other in self.links):
            self._stop(Exit.REFUSED, str(error))

    def _abort(self, link: Link, detail: str, now: float) -> None:
        send, events = link.session.abort(Reason.PROTOCOL, detail, now)
        self._send_all(link, send)
        self._handle(link, events, now)

    def _share_out(self, now: float) -> None:
        """Divide slots and streams among the brokers, so that together they never
        send more than there is; and tell those whose part has changed."""
        links = [link for link in self.links if link.is_open]
        calls = divide(self._slots, [link.calls for link in links])
        opens = divide(self._streams_max, [link.opens for link in links])
        changed = []
        for link, slots, streams in zip(links, calls, opens, strict=True):
            # Both are asked, as both note it.
            if link.calls.give(slots) | link.opens.give(streams):
                changed.append((link, Update(slots, streams)))
        self._shared_at = now
        self._reshare_at = None
        if self._drain.begun:
            return
        for link, update in changed:
            self._send(link, Message(Type.UPDATE, fields=pack(update)))

    def _reshare(self, now: float) -> None:
        """See whether one of several brokers could use what another does not."""
        if sum(link.is_open for link in self.links) < 2:
            return
        uses = [use for link in self.links for use in (link.calls, link.opens)]
        if any(use.is_full for use in uses):
            due = self._shared_at + RESHARE_S
        elif self._calls or self._open:
            due = self._shared_at + REVIEW_S
        else:
            return
        if self._reshare_at is None or due < self._reshare_at:
            self._reshare_at = due

    # -- messages -------------------------------------------------------------

    def _delivered(self, link: Link, message: Message, now: float) -> None:
        kind = message.type
        if kind is Type.OPEN:
            self._opened(link, message, now)
        elif message.stream:
            stream = link.streams.get(message.stream)
            if stream is None:
                return  # it has ended; what was under way is ignored
            try:
                link.admit(stream, message, now)
                stream.received(message, now)
            except StorageError as error:
                stream.fail(error, now)
        elif kind is Type.PING:
            self._send(link, link.session.pong(message, pack(self._load(now))))
        elif kind is Type.DRAIN:
            link.fenced = True
            budget_s = (message.budget_ms or BUDGET_MS_DEFAULT) / 1000
            self.drain(budget_s, now)

    def _opened(self, link: Link, message: Message, now: float) -> None:
        if message.stream <= link.last_stream:
            return  # said twice; the first is being answered
        link.last_stream = message.stream
        try:
            request = parse(Open, message.fields)
            queued_us = parse(Vouched, message.vouched).queued_us
            arrival = Arrival(link.number, message, request, queued_us, now)
            if self._lanes is not None and request.lane:
                kinds = self._lanes.kinds(message.code, request, link.features)
                fair = self._lanes.fair_bytes(self._open)
                arrival = arrival._replace(lanes=kinds, lane_bytes=fair)
            stream = make_stream(self, arrival, link.chunk_bytes_max, self._open)
        except (ProtocolError, UnsupportedMethodError) as error:
            error.executed = Executed.NO
            self._send(link, error_message(error, message.stream))
            return
        objection = link.doubt(stream) or self._objection(stream)
        if objection is not None:
            self._send(link, error_message(objection, message.stream))
            return
        link.streams[stream.id] = stream
        link.use_of(stream).add()
        if stream.is_call:
            stream.standing = Standing(link.lease)
            self._calls += 1
        else:
            self._open += 1
        self._tick_s = min(self._tick_s, max(SWEEP_S, stream.progress_s / 2))
        stream.begin(now)

    def _objection(self, stream: Stream) -> StorageError | None:
        """Why a stream cannot be taken now, if so."""
        if stream.is_call:
            what, here, most = "calls", self._calls, self._slots * CALLS_PER_SLOT_MAX
        else:
            what, here, most = "streams open", self._open, self._streams_max
        if here < most:
            return None
        return BusyError(f"the worker has {most} {what}", retry_after_s=RETRY_AFTER_S)

    def _load(self, now: float) -> Load:
        return Load(
            calls=self._calls,
            streams=self._open,
            oldest_ms=int(self.schedule.oldest_s(now) * 1000),
            lag_ms=int(self.lag_s * 1000),
            direct=self.direct.done,
        )

    # -- after every event ----------------------------------------------------

    def _settle(self, now: float) -> None:
        """Start what can start, see whether the drain is over, set the alarm."""
        while True:
            task = self.schedule.next(now)
            if task is None:
                break
            if task.expires <= now:
                self.schedule.ended(task)
                self._finish(task, Outcome(error=too_late(), ran=False), now)
            else:
                self.outbox.append(Start(task))
        if self._drain.begun:
            self._go_on_draining(now)
        if len(self.links) > 1:
            self._reshare(now)
        if self._calls or self._open:
            due = now + (SWEEP_S if len(self.schedule) else self._tick_s)
            if self._sweep_at is None or due < self._sweep_at:
                self._sweep_at = due
        else:
            self._sweep_at, self._tick_s = None, TICK_S

    def _go_on_draining(self, now: float) -> None:
        if self._drain.is_over_time(now):
            ending = UnavailableError("the worker is ending", temporary=True)
            for stream in list(self._streams()):
                stream.fail(ending, now)
        final = self._drain.is_final(now)
        for link in self.links:
            if link.is_open:
                fenced = link.fenced or self._drain.is_unanswered(now)
                if link.parting_at is None and (final or (fenced and not link.streams)):
                    link.parting_at = now
                    self._send(link, Message(Type.DRAINED))
                at = link.parting_at
                if final or (at is not None and now >= at + PART_S):
                    self._say_goodbye(link, "drained")
            elif not link.is_greeting or self._drain.is_unwelcome(now):
                link.closed = True
        if final or not (self._orphans or any(not link.closed for link in self.links)):
            self._stop(Exit.STOPPED, "drained")

    def _say_goodbye(self, link: Link, why: str) -> None:
        link.closed = True
        self._send_all(link, link.session.goodbye(why))

    def _stop(self, code: int, why: str) -> None:
        if not self._stopped:
            self._stopped = True
            self.outbox.append(Stop(code, why))

    def _finish(self, task: Task, outcome: Outcome, now: float) -> None:
        try:
            task.stream.finished(task, outcome, now)
        except StorageError as error:
            # What the driver returned cannot be put into a message.
            task.stream.fail(error, now)

    def _streams(self) -> Iterator[Stream]:
        for link in self.links:
            yield from link.streams.values()
        yield from self._orphans

    def _send(self, link: Link, message: Message) -> None:
        if epoch := link.session.epoch:
            self.outbox.append(Send(link.number, message.in_session(epoch)))

    def _send_all(self, link: Link, messages: list[Message]) -> None:
        self.outbox.extend(Send(link.number, message) for message in messages)

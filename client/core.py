"""The client's logic: its sessions with the brokers, and its operations on them.

Pure: no socket, clock or thread. A client knows one broker or several that serve the
same services; it keeps a session with each, and gives new operations to one of them
for as long as that one answers (PROTOCOL.md section 5). Three shells drive this
machine: a thread for the whole process, a thread of the application's own, and an
event loop.

Whatever the brokers do, every operation ends with exactly one `Finished` or `Failed`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import count
from math import inf
from typing import Any

from ..broker.messages import Hello, Reason
from ..broker.session import (
    Delivered,
    Lost,
    Opened,
    PeerSession,
    Refused,
    State,
)
from ..broker.session import Event as SessionEvent
from ..broker.wire import TERMINAL, Message, Type
from ..drivers.errors import (
    BusyError,
    CancelledError,
    DataLossError,
    Executed,
    ProtocolError,
    StorageError,
    UnavailableError,
)
from .brokers import PROBE_S, Broker, Brokers
from .requests import Failed, Output, Request
from .retry import SAFETY, Safety
from .streams import Download, Stream, Upload, make_stream

WAITING_MAX = 10_000
"""Operations that may wait for a broker to answer."""


class ClientCore:
    """The machine.

    Args:
        endpoints: the brokers' addresses, the preferred one first.
        hello: what the client says of itself.
        impatient: whether there are brokers beyond these, so that a silent one is
            left soon.
    """

    def __init__(
        self, endpoints: Sequence[str], hello: Hello, *, impatient: bool = False
    ) -> None:
        self.brokers = Brokers(endpoints, hello, impatient)
        self._streams: dict[Any, Stream] = {}
        self._waiting: dict[Any, Stream] = {}
        self._timers: list[tuple[float, int, Stream]] = []
        self._order = count()
        self._closed = False

    def __len__(self) -> int:
        """Operations that have not ended."""
        return len(self._streams)

    @property
    def current(self) -> str:
        """Address of the broker that the next operation goes to."""
        return self.brokers.current.endpoint

    @property
    def is_open(self) -> bool:
        """Whether that broker takes operations now."""
        return self.brokers.current.is_sound

    # The connections

    def connected(self, index: int, now: float) -> Output:
        """The connection to a broker stands."""
        broker = self.brokers[index]
        if broker.session.state is State.REFUSED:
            # A new connection may lead to another broker than the one that refused.
            broker.session = PeerSession(broker.hello)
        out = Output()
        self._send(broker, broker.session.connected(now), out)
        return out

    def disconnected(self, index: int, now: float) -> Output:
        """The connection to a broker is gone."""
        broker = self.brokers[index]
        out = Output()
        self._happened(broker, broker.session.disconnected(now), now, out)
        return out

    def broken(self, index: int, error: ProtocolError, now: float) -> Output:
        """A broker has sent what PROTOCOL.md does not allow."""
        out = Output()
        self._break(self.brokers[index], Reason.PROTOCOL, str(error), now, out)
        return out

    def unsent(self, index: int, messages: Sequence[Message], now: float) -> Output:
        """The socket did not take these: the connection is as good as gone."""
        broker = self.brokers[index]
        out = Output()
        if not broker.is_open:
            return out  # a greeting; it is repeated
        why = f"the connection to {broker.endpoint} takes no message"
        for message in messages:
            stream = broker.streams.get(message.stream)
            if stream is not None and message.type is Type.OPEN:
                error = UnavailableError(why, executed=Executed.NO)
                self._fail(stream, error, out)
        self._break(broker, Reason.SHUTDOWN, why, now, out)
        return out

    def received(self, index: int, message: Message, now: float) -> Output:
        """A message has arrived."""
        broker = self.brokers[index]
        out = Output()
        broker.heard(now)
        session = broker.session
        try:
            if not message.stream:
                messages, events = session.received(message, now)
                self._send(broker, messages, out)
                self._happened(broker, events, now, out)
            elif session.hears(message, now):
                self._deliver(broker, message, now, out)
        except ProtocolError as error:
            self._break(broker, Reason.PROTOCOL, str(error), now, out)
        return out

    def doubt(self, index: int, now: float) -> Output:
        """Another connection to this broker has got no answer there."""
        broker = self.brokers[index]
        out = Output()
        if broker.is_open and not broker.suspect:
            broker.session.wait(True, now)
            self._suspect(broker, now, out)
        return out

    # The operations

    def open(self, key: Any, request: Request, now: float) -> Output:
        """Perform an operation; its events will carry `key`.

        Without a session it waits for one, as long as its budget allows.
        """
        out = Output()
        stream = make_stream(key, request, now)
        self._streams[key] = stream
        broker = self.brokers.choose(now)
        if self._closed:
            error: StorageError = CancelledError(
                "the client is closed", executed=Executed.NO
            )
            self._fail(stream, error, out)
        elif broker is not None:
            self._start(stream, broker, now, out)
        elif len(self._waiting) >= WAITING_MAX:
            error = BusyError(f"{WAITING_MAX} operations wait for the broker already")
            self._fail(stream, error, out)
        else:
            refusal = self._refusal()
            if refusal is not None:
                self._fail(stream, refusal, out)
            else:
                self._waiting[key] = stream
                self._watch(stream)
        return out

    def consumed(self, key: Any, count: int, now: float) -> Output:
        """The application has taken bytes of a download."""
        out = Output()
        stream = self._streams.get(key)
        if isinstance(stream, Download):
            stream.consumed(count, now, out)
            self._watch(stream)
        return out

    def write(self, key: Any, data: bytes | memoryview, now: float) -> Output:
        """Send bytes of an accepted upload, as fast as the worker takes them."""
        out = Output()
        stream = self._streams.get(key)
        if isinstance(stream, Upload):
            stream.write(data, now, out)
            self._watch(stream)
        return out

    def write_lane(self, key: Any, count: int, now: float) -> Output:
        """The first bytes of an accepted upload were put into its lane, within its
        limit."""
        out = Output()
        stream = self._streams.get(key)
        if isinstance(stream, Upload):
            stream.write_lane(count, now, out)
            self._watch(stream)
        return out

    def starve(self, key: Any, now: float) -> Output:
        """The first bytes wait in front of an upload's lane, which its limit closes."""
        out = Output()
        stream = self._streams.get(key)
        if isinstance(stream, Upload):
            stream.starve(now, out)
            self._watch(stream)
        return out

    def stall(self, key: Any, now: float) -> Output:
        """The application waits for the other end of an operation's lane."""
        stream = self._streams.get(key)
        if stream is not None:
            stream.stall(now)
            self._watch(stream)
        return Output()

    def move_on(self, key: Any) -> Output:
        """What it has waited for has come."""
        stream = self._streams.get(key)
        if stream is not None:
            stream.move_on()
        return Output()

    def relax(self, key: Any, now: float) -> Output:
        """Whoever waited for what an upload does again waits no more."""
        stream = self._streams.get(key)
        if stream is not None:
            stream.relax(now)
            self._watch(stream)
        return Output()

    def end(
        self, key: Any, kind: Type, size: int, within_s: float, now: float
    ) -> Output:
        """End an accepted upload of so many bytes with COMMIT, DETACH or CANCEL; its
        end is awaited, of a CANCEL for so many seconds."""
        out = Output()
        stream = self._streams.get(key)
        if isinstance(stream, Upload):
            stream.end(kind, size, within_s, now, out)
            self._watch(stream)
        return out

    def abandon(self, key: Any, now: float) -> Output:
        """Nobody waits for an operation any more: no event of it will follow."""
        out = Output()
        stream = self._streams.get(key)
        if stream is not None:
            self._bury(stream, out)
            self._settle(now)
        return out

    def close(self, now: float) -> Output:
        """End all operations and take leave of the brokers."""
        out = Output()
        self._closed = True
        for broker in self.brokers:
            self._send(broker, broker.session.goodbye("the client is closed"), out)
        for stream in list(self._streams.values()):
            error = CancelledError("the client was closed meanwhile")
            self._fail(stream, stream.lost(error), out)
        return out

    # Time

    def tick(self, now: float) -> Output:
        """Time has passed."""
        out = Output()
        for broker in self.brokers:
            another = self.brokers.have_another(broker)
            broker.session.probe_s = PROBE_S if another else inf
            messages, events = broker.session.tick(now)
            self._send(broker, messages, out)
            self._happened(broker, events, now, out)
            if self.brokers.next_doubt(broker) <= now:
                self._suspect(broker, now, out)
            elif broker.suspect and broker.streams and another:
                self._evade(broker, out)
        while self._timers and self._timers[0][0] <= now:
            stream = heapq.heappop(self._timers)[2]
            stream.timed = False
            if self._streams.get(stream.key) is not stream:
                continue
            if stream.expires <= now:
                self._expire(stream, out)
            else:
                self._watch(stream)
        self._settle(now)
        return out

    def next_deadline(self, now: float) -> float:
        """When `tick` has something to do; infinity for never. May be early."""
        found = self._timers[0][0] if self._timers else inf
        for broker in self.brokers:
            due = broker.session.next_deadline(now)
            if due is not None and due < found:
                found = due
            found = min(found, self.brokers.next_doubt(broker))
        return found

    # Inside

    def _start(self, stream: Stream, broker: Broker, now: float, out: Output) -> None:
        if not broker.has_room:
            error = BusyError(
                "this client has as many operations open as the broker allows",
                executed=Executed.NO,
            )
            self._fail(stream, error, out)
            return
        broker.last_stream += 1
        opening = stream.start(
            broker.index, broker.last_stream, broker.session.epoch, now
        )
        broker.streams[stream.id] = stream
        if not broker.session.waiting:
            another = self.brokers.have_another(broker)
            broker.session.probe_s = PROBE_S if another else inf
            broker.session.wait(True, now)
        out.sends.append((broker.index, opening))
        self._watch(stream)

    def _deliver(
        self, broker: Broker, message: Message, now: float, out: Output
    ) -> None:
        stream = broker.streams.get(message.stream)
        if stream is None:
            ended = message.type in TERMINAL
            if ended and broker.tombstones.pop(message.stream, 0) is None:
                self._settle(now)
            return
        try:
            ended = stream.take(message, now, out)
        except (DataLossError, ProtocolError) as error:
            self._fail(stream, error, out, buried=message.type not in TERMINAL)
            return
        if ended:
            self._forget(stream)
            self._settle(now)
        elif stream.expires != inf and not stream.timed:
            self._watch(stream)

    def _happened(
        self, broker: Broker, events: Sequence[SessionEvent], now: float, out: Output
    ) -> None:
        for event in events:
            if isinstance(event, Delivered):
                if event.message.stream:
                    self._deliver(broker, event.message, now, out)
                elif event.message.type is Type.DRAIN:
                    self._leave(broker, now, out)
            elif isinstance(event, Opened):
                broker.opened(now)
                self._resume(now, out)
            elif isinstance(event, Lost):
                self._lose(broker, event.error, now, out)
            elif isinstance(event, Refused):
                broker.refusal = event.error
                self._lose(broker, event.error, now, out)
                refusal = self._refusal()
                if refusal is not None:
                    self._fail_waiting(out)

    def _resume(self, now: float, out: Output) -> None:
        """A session has opened: what has waited for one goes out."""
        broker = self.brokers.choose(now)
        if broker is None:
            return
        waiting, self._waiting = self._waiting, {}
        for stream in waiting.values():
            self._start(stream, broker, now, out)

    def _leave(self, broker: Broker, now: float, out: Output) -> None:
        """The broker is about to end: only what is open there goes on there."""
        broker.leaving = True
        drained = Message(Type.DRAINED, epoch=broker.session.epoch)
        self._send(broker, [drained], out)
        self.brokers.choose(now)

    def _suspect(self, broker: Broker, now: float, out: Output) -> None:
        broker.suspect = True
        broker.failed(now)
        self.brokers.choose(now)
        self._evade(broker, out)

    def _evade(self, broker: Broker, out: Output) -> None:
        """The broker does not answer: what may be done twice is done elsewhere.

        A move or delete is left to it; the broker may be slow only, and nobody could
        say whether it was done.
        """
        why = f"the broker at {broker.endpoint} does not answer"
        for stream in list(broker.streams.values()):
            if SAFETY[stream.request.operation] is Safety.REPEATABLE:
                error = UnavailableError(why, executed=Executed.MAYBE)
                self._fail(stream, stream.lost(error), out, buried=True)

    def _lose(
        self, broker: Broker, error: StorageError, now: float, out: Output
    ) -> None:
        broker.failed(now)
        self.brokers.choose(now)
        broker.tombstones.clear()
        for stream in list(broker.streams.values()):
            self._fail(stream, stream.lost(error), out)

    def _refusal(self) -> StorageError | None:
        """A fresh error when no broker will ever take this client, else None."""
        refusals = [b.refusal for b in self.brokers if b.session.state is State.REFUSED]
        if len(refusals) < len(self.brokers) or refusals[0] is None:
            return None
        first = refusals[0]
        names = ", ".join(broker.endpoint for broker in self.brokers)
        return type(first)(f"{first.detail} ({names})", executed=Executed.NO)

    def _fail_waiting(self, out: Output) -> None:
        for stream in list(self._waiting.values()):
            refusal = self._refusal()
            assert refusal is not None
            self._fail(stream, refusal, out)

    def _break(
        self, broker: Broker, reason: Reason, why: str, now: float, out: Output
    ) -> None:
        """End a session from this side; it begins anew after a pause."""
        messages, events = broker.session.abort(reason, why, now)
        self._send(broker, messages, out)
        self._happened(broker, events, now, out)

    def _expire(self, stream: Stream, out: Output) -> None:
        if stream.broker is not None:
            self._fail(stream, stream.expired(), out, buried=True)
            return
        names = ", ".join(broker.endpoint for broker in self.brokers)
        seconds = round(stream.request.budget_s, 2)
        error = UnavailableError(
            f"no broker answered at {names} within {seconds:g} s; "
            "check that the broker runs and that this is its address for clients",
            executed=Executed.NO,
        )
        self._fail(stream, error, out)

    def _fail(
        self, stream: Stream, error: StorageError, out: Output, *, buried: bool = False
    ) -> None:
        if buried:
            self._bury(stream, out)
        else:
            self._forget(stream)
        out.events.append((stream.key, Failed(error)))

    def _bury(self, stream: Stream, out: Output) -> None:
        """Give a stream up of which the broker does not know that it is over."""
        if stream.broker is not None:
            broker = self.brokers[stream.broker]
            if broker.is_open:
                out.sends.append((broker.index, stream.abandon()))
            broker.forget(stream, buried=broker.is_open)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._streams.pop(stream.key, None)
        self._waiting.pop(stream.key, None)
        if stream.broker is not None:
            self.brokers[stream.broker].forget(stream)

    def _settle(self, now: float) -> None:
        """A broker that owes nothing may be silent."""
        for broker in self.brokers:
            if broker.session.waiting and not (broker.is_owing or broker.suspect):
                broker.session.wait(False, now)

    def _send(self, broker: Broker, messages: Sequence[Message], out: Output) -> None:
        for message in messages:
            out.sends.append((broker.index, message))

    def _watch(self, stream: Stream) -> None:
        """Have the stream looked at when it expires.

        An expiry only moves back while it is listed, so that one entry is enough:
        when it comes up too early, it is listed anew.
        """
        if stream.timed or stream.expires == inf:
            return
        if self._streams.get(stream.key) is not stream:
            return
        stream.timed = True
        heapq.heappush(self._timers, (stream.expires, next(self._order), stream))
        if len(self._timers) > 64 + 2 * len(self._streams):
            # Most entries are of streams that have ended long before their time.
            live = self._streams
            self._timers = [t for t in self._timers if live.get(t[2].key) is t[2]]
            heapq.heapify(self._timers)

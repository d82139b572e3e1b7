"""Streams between clients and workers: which worker, when, and how each ends.

Pure, a part of the broker's machine: `core` knows who is connected, this knows what
they have going on.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from ..drivers.errors import (
    BusyError,
    CancelledError,
    DeadlineExceededError,
    Executed,
    PoisonRequestError,
    ProtocolError,
    StorageError,
    TooLargeError,
    UnavailableError,
    UnknownServiceError,
    WorkerLostError,
)
from . import relay
from .backlog import Backlog
from .budget import Budget, Flow
from .messages import (
    INLINE_BYTES_MAX,
    NOT_BEGUN,
    OWN_FAULTS,
    STREAMS,
    UNTOLD,
    error_message,
    pack_vouched,
)
from .poison import Poison, digest_of
from .roster import Roster
from .sessions import ClientSession, Line, Session, Stream, WorkerSession
from .settings import BrokerSettings
from .unread import Unread
from .wire import BUDGET_MS_DEFAULT, TERMINAL, Message, Type

FENCE_TOKEN_MIN = 16
"""Fences' tokens count from here; smaller ones are of other PINGs."""
RETRY_AFTER_S = 0.2
"""What a client that meets a full queue is told to wait."""


class Switch:
    """The streams of a broker.

    Args:
        settings: limits.
        roster: the workers to choose from.
        send: takes a message for a session, and the stream's id there.

    Attributes:
        budget: the bound on bytes in flight.
        backlogs: what waits, by service.
        counters: what has happened, by name.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        roster: Roster,
        send: Callable[[Session, Message, int], None],
    ) -> None:
        self.settings = settings
        self.roster = roster
        self.budget = Budget(
            settings.streams_max, settings.floor_bytes, settings.pool_bytes
        )
        self.unread = Unread(settings.floor_bytes, settings.pool_bytes)
        self.backlogs: dict[str, Backlog] = {}
        self.poison = Poison()
        self.counters = {
            "opened": 0,
            "busy": 0,
            "expired": 0,
            "given_up": 0,
            "rerouted": 0,
            "poisoned": 0,
        }
        self._retiring = False
        self._send = send
        self._next_token = count(FENCE_TOKEN_MIN).__next__

    # -- from clients ---------------------------------------------------------

    def open(
        self, client: ClientSession, service: str, message: Message, now: float
    ) -> None:
        """An OPEN: give it to a worker, let it wait for one, or refuse it."""
        self.counters["opened"] += 1
        budget_ms = message.budget_ms or BUDGET_MS_DEFAULT
        stream = Stream(client, message, service, now, now + budget_ms / 1000)
        client.streams[message.stream] = stream
        if len(message.payload) > INLINE_BYTES_MAX:
            error = f"an OPEN takes {INLINE_BYTES_MAX} bytes; larger ones are uploads"
            self.end(stream, TooLargeError(error))
            return
        if not self.roster.knows(service):
            known = ", ".join(sorted(self.roster.services)) or "none"
            error = f"{service!r}; this broker has: {known}"
            self.end(stream, UnknownServiceError(error))
            return
        if len(self.poison) and self._is_poison(stream, now):
            return
        if len(client.streams) > self.settings.client_streams_max:
            most = self.settings.client_streams_max
            self._refuse(stream, f"this client has {most} streams open")
            return
        if message.code in STREAMS:
            flow = self.budget.open()
            if flow is None:
                most = self.settings.streams_max
                self._refuse(stream, f"the broker has {most} streams open")
                return
            stream.flow = flow
            if not stream.upload:
                self._first_grant(client, stream, flow, message.limit)
        waiting = self.backlogs.get(service)
        if waiting is not None and waiting.head(stream.line) is not None:
            self._wait_or_refuse(stream)
            return
        worker = self._pick(stream)
        if worker is None:
            self._wait_or_refuse(stream)
        else:
            self._forward(stream, worker, now)

    def cancel(self, client: ClientSession, message: Message, now: float) -> None:
        """A CANCEL, or the DETACH of something that still waits."""
        stream = client.streams.get(message.stream)
        if stream is None:
            return
        if stream.worker is None:
            self._backlog(stream.service).remove(stream)
            self.end(stream, _unstarted())
        else:
            if stream.given_up is None:
                stream.given_up = now
                self.counters["given_up"] += 1
            self._to_worker(stream, message)

    def upload(self, client: ClientSession, message: Message, now: float) -> None:
        """DATA, COMMIT or DETACH.

        Raises:
            ProtocolError: the stream takes none, or none yet.
        """
        stream = client.streams.get(message.stream)
        if stream is None:
            return  # it has ended; what was under way is ignored
        if stream.worker is None:
            if message.type is Type.DETACH:
                self.cancel(client, message, now)
                return
            raise ProtocolError(f"{message.type.name} before ACCEPT")
        if relay.to_worker(self.budget, stream, message):
            self._to_worker(stream, message)

    def credit(self, client: ClientSession, message: Message) -> None:
        """The receiver of a download grants more.

        Raises:
            ProtocolError: the stream is no download.
        """
        stream = client.streams.get(message.stream)
        if stream is None:
            return
        flow = relay.download_flow(stream, message)
        if stream.held:
            flow.limit = max(flow.limit, message.limit)
            return
        raised = self.budget.grant(flow, message.offset, message.limit)
        if stream.worker is not None and raised:
            self._to_worker(stream, message._replace(limit=flow.passed))

    def caught_up(self, client: ClientSession, token: int) -> None:
        """A PONG: the client has read what came before the PING."""
        if not self.unread.answered(client.peer, token):
            return
        self._fence(client)
        if self.unread.excessive(client.peer):
            return
        for stream in client.streams.values():
            if stream.held and stream.flow is not None:
                stream.held = False
                flow = stream.flow
                if self.budget.grant(flow, 0, flow.limit) and stream.worker is not None:
                    self._to_worker(stream, Message(Type.CREDIT, limit=flow.passed))

    # -- from workers ---------------------------------------------------------

    def answer(self, worker: WorkerSession, message: Message, now: float) -> None:
        """ACCEPT, DATA, CREDIT, PROGRESS, RESULT or ERROR.

        Raises:
            ProtocolError: the worker may not send this.
        """
        stream = worker.streams.get(message.stream)
        if stream is None:
            return  # it has ended; what was under way is ignored
        relayed = relay.to_client(self.budget, stream, message)
        stream.answered = True
        begun = message.type is not Type.ERROR or message.code not in NOT_BEGUN
        if stream.suspect is not None and begun:
            self.poison.clear(stream.suspect)
            stream.suspect = None
        client = stream.client
        if client is not None and relayed is not None:
            self._send(client, relayed, stream.client_stream)
        if message.type in TERMINAL:
            failed = message.type is Type.ERROR and message.code in OWN_FAULTS
            worker.score.note(failed=failed)
            worker.drop(stream)
            if client is not None:
                client.streams.pop(stream.client_stream, None)
            self._close_flow(stream)
            if client is not None:
                self._fence(client)
            self.feed(stream.service, now)

    def feed(self, service: str, now: float) -> None:
        """Work may go on: give what waits to workers with room."""
        backlog = self.backlogs.get(service)
        if backlog is None or not len(backlog):
            return
        for line in Line:
            while (stream := backlog.head(line)) is not None:
                worker = self._pick(stream)
                if worker is None:
                    break
                backlog.take(line)
                if stream.expires <= now:
                    self._expired(stream)
                else:
                    self._forward(stream, worker, now)

    # -- endings --------------------------------------------------------------

    def client_lost(self, client: ClientSession, now: float) -> None:
        """Its streams: drop what waits, detach what a worker has."""
        for stream in list(client.streams.values()):
            if stream.worker is None:
                self._backlog(stream.service).remove(stream)
                stream.client = None
                self._close_flow(stream)
                continue
            self._leave_unread(stream)
            stream.client = None
            if stream.given_up is None:
                stream.given_up = now
            sent = stream.flow.forwarded if stream.flow and stream.upload else 0
            code = UNTOLD if stream.upload and not stream.answered else 0
            self._to_worker(stream, Message(Type.DETACH, code=code, offset=sent))
        client.streams.clear()

    def worker_lost(self, worker: WorkerSession, now: float) -> None:
        """Its streams may have run, and end at once."""
        digests = [
            digest_of(stream.service, stream.opened)
            for stream in worker.streams.values()
            if not stream.answered
        ]
        self.poison.lost(worker.key, digests, now)
        silent_s = now - worker.heard if worker.suspect else 0.0
        after = f" after {silent_s:.1f} s of silence" if silent_s else ""
        for stream in list(worker.streams.values()):
            worker.drop(stream)
            what = f"worker {worker.id} of service {stream.service!r} was lost{after}"
            self.end(stream, WorkerLostError(what, executed=Executed.MAYBE))

    def take_back(self, worker: WorkerSession, worker_stream: int) -> None:
        """An OPEN never reached its worker: it goes to the next one."""
        stream = worker.streams.get(worker_stream)
        if stream is None:
            return
        worker.drop(stream)
        stream.worker = None
        self.counters["rerouted"] += 1
        if stream.client is None:
            self._close_flow(stream)
        elif stream.given_up is not None:
            self.end(stream, _unstarted())  # its CANCEL was lost with it
        else:
            self._wait_or_refuse(stream, first=True)

    def expire(self, now: float) -> None:
        """Drop what has waited too long."""
        for backlog in self.backlogs.values():
            for stream in backlog.expired(now):
                self._expired(stream)

    def refuse_waiting(self, service: str, error: StorageError) -> None:
        """End all that waits for a service that will have no worker any more."""
        backlog = self._backlog(service)
        for line in Line:
            while (stream := backlog.take(line)) is not None:
                self.end(stream, error)

    def retire(self) -> None:
        """Nothing waits here any more: another broker may have a worker for it."""
        self._retiring = True
        for service in self.backlogs:
            self.refuse_waiting(service, _retiring())

    def next_deadline(self) -> float | None:
        """When `expire` is due."""
        first: float | None = None
        for backlog in self.backlogs.values():
            due = backlog.next_deadline()
            if due is not None and (first is None or due < first):
                first = due
        return first

    def end(self, stream: Stream, error: StorageError) -> None:
        """End a stream towards its client, from the broker."""
        client = stream.client
        self._close_flow(stream)
        if (
            client is not None
            and client.streams.pop(stream.client_stream, None) is stream
        ):
            number = stream.client_stream
            self._send(client, error_message(error, number), number)

    # -- within ---------------------------------------------------------------

    def _pick(self, stream: Stream) -> WorkerSession | None:
        alone = stream.suspect is not None
        return self.roster.pick(stream.service, stream.holds_stream, alone=alone)

    def _is_poison(self, stream: Stream, now: float) -> bool:
        """Refuse a request that has ended too many workers; note one that may have."""
        digest = digest_of(stream.service, stream.opened)
        deaths = self.poison.deaths(digest, now)
        if deaths and self.poison.is_poison(digest):
            self.counters["poisoned"] += 1
            what = f"{deaths} workers of service {stream.service!r} were lost with it"
            self.end(stream, PoisonRequestError(what))
            return True
        if deaths:
            stream.suspect = digest
        return False

    def _forward(self, stream: Stream, worker: WorkerSession, now: float) -> None:
        opened, client = stream.opened, stream.client
        assert client is not None
        worker.take(stream)
        stream.attempt += 1
        waited_us = int((now - stream.arrived) * 1_000_000)
        vouched = pack_vouched(client.label, client.user, stream.attempt, waited_us)
        left_ms = opened.budget_ms  # of a stream, it is for each of its waits
        if not stream.holds_stream:
            left_ms = max(1, int((stream.expires - now) * 1000))
        limit = stream.flow.passed if stream.flow is not None else opened.limit
        self._to_worker(stream, opened.forwarded(limit, left_ms, vouched))

    def _expired(self, stream: Stream) -> None:
        self.counters["expired"] += 1
        there = len(self.roster.services.get(stream.service, []))
        what = f"none of its {there} workers was free" if there else "no worker"
        detail = f"service {stream.service!r}: {what} in time"
        self.end(stream, DeadlineExceededError(detail, executed=Executed.NO))

    def _wait_or_refuse(self, stream: Stream, *, first: bool = False) -> None:
        if self._retiring:
            self.end(stream, _retiring())
            return
        backlog = self._backlog(stream.service)
        if not backlog.add(stream, first=first):
            waiting = f"service {stream.service!r} has {len(backlog)} calls waiting"
            self._refuse(stream, waiting)

    def _refuse(self, stream: Stream, why: str) -> None:
        self.counters["busy"] += 1
        self.end(stream, BusyError(why, retry_after_s=RETRY_AFTER_S))

    def _close_flow(self, stream: Stream) -> None:
        if stream.flow is not None:
            self._leave_unread(stream)
            self.budget.close(stream.flow)
            stream.flow = None

    def _first_grant(
        self, client: ClientSession, stream: Stream, flow: Flow, limit: int
    ) -> None:
        stream.held = self.unread.excessive(client.peer)
        if stream.held:
            flow.limit = limit
            self._fence(client)
        else:
            self.budget.grant(flow, 0, limit)

    def _leave_unread(self, stream: Stream) -> None:
        if stream.client is not None and stream.flow is not None and not stream.upload:
            flow = stream.flow
            self.unread.add(stream.client.peer, flow.unread)

    def _fence(self, client: ClientSession) -> None:
        if self.unread.fence_due(client.peer):
            token = self._next_token()
            self.unread.fence(client.peer, token)
            self._send(client, Message(Type.PING, offset=token), 0)

    def _backlog(self, service: str) -> Backlog:
        backlog = self.backlogs.get(service)
        if backlog is None:
            limits = self.settings
            backlog = Backlog(limits.queue_calls_max, limits.queue_bytes_max)
            self.backlogs[service] = backlog
        return backlog

    def _to_worker(self, stream: Stream, message: Message) -> None:
        assert stream.worker is not None
        self._send(stream.worker, message, stream.worker_stream)


def _retiring() -> StorageError:
    return UnavailableError("the broker is about to end", executed=Executed.NO)


def _unstarted() -> StorageError:
    return CancelledError("before it was started", executed=Executed.NO)

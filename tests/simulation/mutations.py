"""Rules of the product, broken on purpose: what the simulation must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from storagebus.broker.budget import Budget
from storagebus.broker.core import BrokerCore
from storagebus.broker.poison import Poison
from storagebus.broker.roster import Roster
from storagebus.broker.session import PeerSession
from storagebus.broker.sessions import WorkerSession
from storagebus.broker.switch import Switch
from storagebus.broker.wire import Message, Type
from storagebus.client import claims, uploads
from storagebus.client.brokers import Broker
from storagebus.client.core import ClientCore
from storagebus.client.downloads import Reading
from storagebus.client.operations import Operations
from storagebus.client.replay import Replay
from storagebus.client.retry import Attempts
from storagebus.client.streams import Stream
from storagebus.client.streams import Upload as UploadStream
from storagebus.client.uploads import Upload
from storagebus.drivers.errors import Executed, PathNotFoundError, StorageError
from storagebus.workers.core import WorkerCore
from storagebus.workers.schedule import Schedule, Task
from storagebus.workers.streams import Stream as WorkerStream

Patch = pytest.MonkeyPatch


def a_read_goes_on_with_whatever_is_there(patch: Patch) -> None:
    """No identity guard."""

    begin = Reading._begin
    arguments = Reading._arguments

    async def unguarded(self: Reading) -> Any:
        self._first, first = True, self._first
        try:
            return await begin(self)
        finally:
            self._first = self._first and first

    def without_match(self: Reading, *args: Any) -> Any:
        return replace(arguments(self, *args), if_match=None)

    patch.setattr(Reading, "_begin", unguarded)
    patch.setattr(Reading, "_arguments", without_match)


def the_broker_repeats_what_a_lost_worker_had(patch: Patch) -> None:
    """It must be left to the client."""

    def worker_lost(self: Switch, worker: WorkerSession, *_: Any) -> None:
        for stream in list(worker.streams.values()):
            self.take_back(worker, stream.worker_stream)

    patch.setattr(Switch, "worker_lost", worker_lost)


def nobody_detaches_for_a_lost_client(patch: Patch) -> None:
    """Its streams stay open in the workers."""
    to_worker = Switch._to_worker

    def without_detach(self: Switch, stream: Any, message: Message) -> None:
        if message.type is not Type.DETACH or stream.client is not None:
            to_worker(self, stream, message)

    patch.setattr(Switch, "_to_worker", without_detach)


def a_peer_keeps_its_session_when_the_broker_has_another(patch: Patch) -> None:
    """A WELCOME with a greater epoch is ignored."""
    welcomed = PeerSession._welcomed

    def first_counts(self: PeerSession, message: Message, now: float) -> Any:
        return ([], []) if self.epoch else welcomed(self, message, now)

    patch.setattr(PeerSession, "_welcomed", first_counts)


def the_broker_grants_all_that_is_asked_for(patch: Patch) -> None:
    """No budget."""

    def extend(self: Budget, flow: Any) -> bool:
        raised = flow.limit > flow.passed
        flow.passed = max(flow.passed, flow.limit)
        return raised

    patch.setattr(Budget, "_extend", extend)


def a_budget_is_not_given_back(patch: Patch) -> None:
    """A flow stays when its stream has ended."""

    def close(self: Budget, flow: Any) -> None:
        self.flows -= 1

    patch.setattr(Budget, "close", close)


def what_was_lost_is_said_not_to_have_run(patch: Patch) -> None:
    """`executed` "no" instead of "maybe"."""
    lost = Stream.lost

    def never_ran(self: Stream, error: StorageError) -> StorageError:
        found = lost(self, error)
        found.executed = Executed.NO
        return found

    patch.setattr(Stream, "lost", never_ran)


def the_last_attempt_speaks_for_all(patch: Patch) -> None:
    """An earlier one may have run, the last one did not: "no"."""
    patch.setattr(Attempts, "final", lambda self, error: error)


def a_commit_in_doubt_counts_as_done(patch: Patch) -> None:
    """Nobody asks what became of it."""

    async def is_committed(self: Upload, error: StorageError, _: Any) -> bool:
        return error.executed is not Executed.NO

    patch.setattr(Upload, "_is_committed", is_committed)


def an_upload_resumes_at_the_wrong_place(patch: Patch) -> None:
    """All that is retained is sent again, wherever the worker stands."""
    since = Replay.since
    patch.setattr(Replay, "since", lambda self, place: since(self, self.start))


def work_is_begun_however_late(patch: Patch) -> None:
    """Deadlines of what waits are ignored."""
    add = Schedule.add

    def without_end(self: Schedule, task: Task) -> None:
        task.expires = float("inf")
        add(self, task)

    patch.setattr(Schedule, "add", without_end)


def nobody_tells_the_broker_of_what_is_given_up(patch: Patch) -> None:
    """Its stream stays open there."""

    def bury(self: ClientCore, stream: Any, out: Any) -> None:
        self._forget(stream)

    patch.setattr(ClientCore, "_bury", bury)


def tombstones_stay(patch: Patch) -> None:
    """The client never forgets what it has given up."""
    forget = Broker.forget

    class Grave(dict[int, None]):
        def pop(self, *_: Any) -> None:
            return None

    def buried(self: Broker, stream: Any, **more: Any) -> None:
        if not isinstance(self.tombstones, Grave):
            self.tombstones = Grave(self.tombstones)
        forget(self, stream, **more)

    patch.setattr(Broker, "forget", buried)


def a_call_waits_without_end(patch: Patch) -> None:
    """The client does not look at its clock."""
    patch.setattr(ClientCore, "_watch", lambda self, stream: None)


def each_try_has_a_deadline_of_its_own(patch: Patch) -> None:
    """What a call has used up already does not count."""
    patch.setattr(Operations, "left", lambda self, attempts: self.deadline)


def what_is_done_again_is_progress(patch: Patch) -> None:
    """The clock of an upload that goes on elsewhere begins anew with each credit."""
    start = UploadStream.__init__

    def unmarked(self: UploadStream, key: Any, request: Any, now: float) -> None:
        start(self, key, request._replace(mark=-1), now)

    patch.setattr(UploadStream, "__init__", unmarked)


def who_goes_on_takes_an_upload_back(patch: Patch) -> None:
    """From whoever has claimed it meanwhile."""
    patch.setattr(uploads, "check_claim", lambda *_: None)


def a_commit_that_is_done_is_ones_own(patch: Patch) -> None:
    """Nobody looks at what was committed."""

    class Blind:
        def __init__(self, operations: Operations) -> None:
            self.upload_status = operations.upload_status

        async def stat(self, path: str, **more: Any) -> Any:
            raise PathNotFoundError(path=path)

    async def committed(operations: Operations, *args: Any) -> bool:
        blind: Any = Blind(operations)
        return await claims.is_committed(blind, *args)

    patch.setattr(uploads, "is_committed", committed)


def nobody_counts_deaths(patch: Patch) -> None:
    """A call ends worker after worker."""
    patch.setattr(Poison, "is_poison", lambda self, digest: False)


def every_service_has_all_workers(patch: Patch) -> None:
    """The broker looks for any worker that has room."""
    candidates = Roster.pick

    def pick(self: Roster, service: str, stream: bool, *, alone: bool) -> Any:
        for name in self.services:
            found = candidates(self, name, stream, alone=alone)
            if found is not None:
                return found
        return None

    patch.setattr(Roster, "pick", pick)


def a_loop_says_that_the_driver_moves_on(patch: Patch) -> None:
    """PROGRESS beside a driver that hangs."""
    tick = WorkerStream.tick

    def ticking(self: WorkerStream, now: float) -> None:
        self.steps.done += 1
        tick(self, now)

    patch.setattr(WorkerStream, "tick", ticking)


def progress_is_not_heard(patch: Patch) -> None:
    """What takes long is given up at its deadline."""
    patch.setattr(Stream, "_progress", lambda *_: None)


def a_worker_keeps_what_belongs_to_nobody(patch: Patch) -> None:
    """A lost session's streams are not released."""

    def lost(self: WorkerCore, link: Any, now: float) -> None:
        link.streams.clear()
        link.fenced = False

    patch.setattr(WorkerCore, "_lost", lost)


def the_broker_answers_twice(patch: Patch) -> None:
    """A stream that its worker has answered is not forgotten."""
    lose = BrokerCore._lose

    def losing(self: BrokerCore, session: Any, now: float) -> None:
        streams = list(session.streams.values())
        clients = [(stream, stream.client) for stream in streams]
        lose(self, session, now)
        for stream, client in clients:
            if client is not None and isinstance(session, WorkerSession):
                client.streams[stream.client_stream] = stream
                stream.client = client
                self.switch.end(stream, StorageError("once more"))

    patch.setattr(BrokerCore, "_lose", losing)


HARSH: dict[str, object] = {
    "workers": 2,
    "clients": 2,
    "tasks": 3,
    "operations": 8,
    "object_bytes_max": 6_000,
    "provoked": 0.03,
    "cuts": 0.3,
    "worker_crashes": 0.3,
    "restart_s_max": 0.1,
    "duplicate_chance": 0.1,
    "slow_chance": 0.1,
    "rivalry": 0.0,
    "services": 1,
    "long_chance": 0.0,
    "poison": 0.0,
}
"""Options under which much is interrupted and goes on."""

RIVALS: dict[str, object] = {**HARSH, "clients": 3, "rivalry": 0.6}
"""Options under which uploads have several writers."""

LONG: dict[str, object] = {"long_chance": 0.8, "slow_chance": 0.5}
"""Options under which work takes long."""

ANY = ("rivalry", "services", "long_chance", "poison")
MIXED: dict[str, object] = {k: v for k, v in HARSH.items() if k not in ANY}
"""As `HARSH`, with all that a seed draws beside it."""

LOST: dict[str, object] = {
    **HARSH,
    "deadline_s": 1.0,
    "worker_crashes": 0.6,
    "restart_s_max": 3.0,
    "failure_chance": 0.1,
}
"""Options under which calls run out of time after a try whose worker was lost."""

SPECIAL: dict[str, dict[str, object]] = {
    "the_last_attempt_speaks_for_all": LOST,
    "a_peer_keeps_its_session_when_the_broker_has_another": MIXED,
    "who_goes_on_takes_an_upload_back": RIVALS,
    "a_commit_that_is_done_is_ones_own": RIVALS,
    "nobody_counts_deaths": {"poison": 0.9, "operations": 8, "restart_s_max": 0.1},
    "every_service_has_all_workers": {"services": 2},
    "a_loop_says_that_the_driver_moves_on": LONG,
    "progress_is_not_heard": LONG,
}
"""Options other than `HARSH`, under which a mutation is noticed sooner."""

MUTATIONS: tuple[Callable[[Patch], None], ...] = (
    a_read_goes_on_with_whatever_is_there,
    the_broker_repeats_what_a_lost_worker_had,
    nobody_detaches_for_a_lost_client,
    work_is_begun_however_late,
    a_peer_keeps_its_session_when_the_broker_has_another,
    the_broker_grants_all_that_is_asked_for,
    a_budget_is_not_given_back,
    what_was_lost_is_said_not_to_have_run,
    the_last_attempt_speaks_for_all,
    a_commit_in_doubt_counts_as_done,
    an_upload_resumes_at_the_wrong_place,
    nobody_tells_the_broker_of_what_is_given_up,
    tombstones_stay,
    a_call_waits_without_end,
    each_try_has_a_deadline_of_its_own,
    what_is_done_again_is_progress,
    who_goes_on_takes_an_upload_back,
    a_commit_that_is_done_is_ones_own,
    nobody_counts_deaths,
    every_service_has_all_workers,
    a_loop_says_that_the_driver_moves_on,
    progress_is_not_heard,
    a_worker_keeps_what_belongs_to_nobody,
    the_broker_answers_twice,
)

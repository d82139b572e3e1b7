"""A worker's machine on the bench: messages by hand, jobs by hand, a clock by hand."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from manager_owner import Owner

from storagebus.broker.memorylane import MemoryLane
from storagebus.broker.messages import Hello, Open, Operation, Vouched, Welcome, pack
from storagebus.broker.wire import Message, Type
from storagebus.drivers import StorageDriver
from storagebus.drivers.checked import Checked
from storagebus.drivers.contract import (
    Capabilities,
    FileInfo,
    Reader,
    UploadState,
    UploadStatus,
    Writer,
)
from storagebus.drivers.errors import PathNotFoundError
from storagebus.drivers.standing import check_standing
from storagebus.workers.actions import (
    LetGo,
    Listen,
    Note,
    Offers,
    Send,
    Start,
    Stop,
    Withdraw,
)
from storagebus.workers.core import WorkerCore
from storagebus.workers.jobs import Outcome, perform
from storagebus.workers.lanes import LaneTerms, Offer, Taken
from storagebus.workers.schedule import Task
from storagebus.workers.streams import Stream

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


class BytesReader(io.BytesIO, Reader):
    """A reader that the store keeps, so that nothing but a close closes it."""

    identity = "one"


class StoreWriter(Writer):
    """A writer that records what is done to it."""

    def __init__(self, store: Store, path: str, data: bytes) -> None:
        self._store, self._path = store, path
        self.data = bytearray(data)
        self.writes: list[int] = []
        self.end = ""
        self.upload_id = f"u{len(store.writers)}"

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def durable(self) -> int:
        return len(self.data) // 2

    def write(self, data: Any) -> int:
        self._store.stumble("write")
        self.data += data
        self.writes.append(len(data))
        return len(data)

    def commit(self) -> None:
        self._store.stumble("commit")
        check_standing()
        self._store.objects[self._path] = bytes(self.data)
        self.end = "commit"

    def cancel(self) -> None:
        self._store.stumble("cancel")
        self.end = "cancel"

    def close(self) -> None:
        self._store.stumble("close")
        if not self.end:
            self.end = "keep"
            self._store.kept[self._path] = bytes(self.data)


class Store(StorageDriver):
    """Objects in a dict; `faults` maps a method to what it shall raise."""

    name = "store"
    capabilities = Capabilities(identity=True, resume=True)

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.kept: dict[str, bytes] = {}
        self.writers: list[StoreWriter] = []
        self.readers: list[BytesReader] = []
        self.faults: dict[str, BaseException] = {}
        self.calls: list[str] = []
        self.on_delete: Callable[[], None] = lambda: None

    @property
    def open_readers(self) -> int:
        return sum(not reader.closed for reader in self.readers)

    def stumble(self, method: str) -> None:
        self.calls.append(method)
        if method in self.faults:
            raise self.faults[method]

    def _get(self, path: str) -> bytes:
        if path not in self.objects:
            raise PathNotFoundError(path=path)
        return self.objects[path]

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> Reader:
        self.stumble("reader")
        data = self._get(path)[offset:]
        self.readers.append(BytesReader(data if length is None else data[:length]))
        return self.readers[-1]

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> Writer:
        self.stumble("writer")
        start = self.kept.pop(path, b"") if append else b""
        self.writers.append(StoreWriter(self, path, start))
        return self.writers[-1]

    def stat(self, path: str) -> FileInfo:
        self.stumble("stat")
        if path != "/" and path not in self.objects:
            return FileInfo(path, 0, None, True)
        size = len(self.objects.get(path, b""))
        return FileInfo(path, size, MOMENT, path == "/", "one")

    def list(self, path: str) -> list[str]:
        self.stumble("list")
        return sorted(self.objects)

    def move(self, source: str, destination: str) -> None:
        self.stumble("move")
        self.objects[destination] = self.objects.pop(source)

    def delete(self, path: str) -> None:
        self.stumble("delete")
        self.on_delete()
        self._get(path)
        del self.objects[path]

    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        return f"https://example.org{path}?{method}&{expires}"

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        self.stumble("upload_status")
        return UploadStatus(UploadState.COMMITTED, 0, f"made-by-{upload_id}")


HELLO = Hello(
    role="worker",
    protocol=(1, 1),
    boot=bytes(16),
    service="default",
    driver="store",
    api_version="1.0",
    slots=4,
    streams=8,
)


class Bench:
    """A machine, its store, and a hand on everything between them.

    Attributes:
        sent: messages for link 0 that no test has taken yet.
        tasks: jobs that were started and not yet run.
        offers: what may be had at the side socket, by token.
        listening: streams that wait for their lanes' bells.
        lanes: those that tests have made, for their fixtures to close.
    """

    def __init__(
        self, *, links: int = 1, lanes: LaneTerms | None = None, **numbers: int
    ) -> None:
        hello = replace(HELLO, **numbers)
        self.store = Store()
        self.driver = Checked(self.store)
        self.core = WorkerCore(hello, links, lanes)
        self.offers: dict[bytes, Offer] = {}
        self.listening: dict[Stream, Taken] = {}
        self.lanes: list[MemoryLane] = []
        self._features = ("lane",) if lanes else ()
        self.now = 1000.0
        self.sent: dict[int, list[Message]] = {n: [] for n in range(links)}
        self.tasks: list[Task] = []
        self.notes: list[Note] = []
        self.stopped: Stop | None = None
        self._ids = {n: 0 for n in range(links)}

    # -- the broker's side ----------------------------------------------------

    def join(self, link: int = 0, epoch: int = 77, heartbeat_ms: int = 1000) -> None:
        """Connect, and be welcomed."""
        self.core.connected(link, self.now)
        welcome = Welcome("broker", 1, 1_048_576, heartbeat_ms, 100, self._features)
        self.give(Message(Type.WELCOME, epoch=epoch, fields=pack(welcome)), link)

    def give(self, message: Message, link: int = 0) -> None:
        """A message from the broker."""
        epoch = message.epoch or self.core.links[link].session.epoch
        self.core.received(link, message._replace(epoch=epoch), self.now)
        self.look()

    def open(
        self,
        operation: Operation,
        path: str = "/a",
        *,
        link: int = 0,
        limit: int = 0,
        budget_ms: int = 0,
        payload: bytes = b"",
        queued_us: int = 0,
        **arguments: Any,
    ) -> int:
        """An OPEN; returns its stream id."""
        self._ids[link] += 1
        request = Open("default", path, **arguments)
        message = Message(
            Type.OPEN,
            self._ids[link],
            int(operation),
            limit=limit,
            budget_ms=budget_ms,
            fields=pack(request),
            vouched=pack(Vouched("c#1", queued_us=queued_us)),
            payload=payload,
        )
        self.give(message, link)
        return self._ids[link]

    def tick(self, seconds: float, *, silent: bool = False) -> None:
        """Time passes, and every alarm on the way rings. Unless it is `silent`, the
        broker answers what it is asked."""
        until = self.now + seconds
        while True:
            due = self.core.next_deadline(self.now)
            if due is None or due > until:
                break
            assert due > self.now - 1e-6, "an alarm that rings for ever"
            self.now = max(self.now, due)
            self.core.tick(self.now)
            self.look()
            if not silent:
                self._answer_pings()
        self.now = until

    def _answer_pings(self) -> None:
        for link, messages in self.sent.items():
            for ping in [m for m in messages if m.type is Type.PING]:
                messages.remove(ping)
                self.give(Message(Type.PONG, offset=ping.offset), link)

    # -- the shell's side -----------------------------------------------------

    def look(self) -> None:
        """Sort what the machine has asked for."""
        while self.core.outbox:
            action = self.core.outbox.popleft()
            if isinstance(action, Send):
                self.sent[action.link].append(action.message)
            elif isinstance(action, Start):
                self.tasks.append(action.task)
            elif isinstance(action, Offers):
                self.offers[action.offer.token] = action.offer
            elif isinstance(action, Withdraw):
                del self.offers[action.token]
            elif isinstance(action, Listen):
                self.listening[action.stream] = action.lane
            elif isinstance(action, LetGo):
                assert action.lane is not None
                action.lane.close()
                kept = {s: at for s, at in self.listening.items() if at != action.lane}
                self.listening = kept
            elif isinstance(action, Note):
                self.notes.append(action)
            else:
                assert self.stopped is None, "stopped twice"
                self.stopped = action

    def run(self, most: int = 1_000) -> None:
        """Run started jobs, and those that they lead to."""
        while most and (self.tasks or self.hear()):
            most -= 1
            self.run_one()

    def hear(self) -> bool:
        """Tell of the bells that ring; whether there is a job then."""
        for stream, lane in list(self.listening.items()):
            if lane is not None and lane.bell.wait(0):
                del self.listening[stream]
                self.core.rang(stream, self.now)
                self.look()
        return bool(self.tasks)

    def run_one(self) -> None:
        """Run the job that was started first."""
        task = self.tasks.pop(0)
        outcome = self.perform(task)
        self.core.finished(task, outcome._replace(driver_us=7), self.now)
        self.look()

    def perform(self, task: Task) -> Outcome:
        """Do a job's work, and tell nobody yet."""
        stream, clock = task.stream, SimpleNamespace(monotonic=lambda: self.now)
        with patch("storagebus.drivers.standing.time", clock):
            return perform(task.job, self.driver, inf, stream.steps, stream.standing)

    def take(self, link: int = 0) -> list[Message]:
        """What was sent since the last look."""
        taken, self.sent[link] = self.sent[link], []
        return taken

    def one(self, kind: Type, link: int = 0) -> Message:
        """The one message that was sent."""
        (message,) = self.take(link)
        assert message.type is kind, message
        return message


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A worker with 4 slots and 8 streams that has joined one broker."""
    made = Bench()
    made.join()
    made.take()
    yield made
    ids = [
        (message.stream, message.type)
        for message in made.sent[0]
        if message.type in (Type.RESULT, Type.ERROR)
    ]
    assert len(ids) == len(set(ids)), "two terminal messages for a stream"


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """The class, for tests that need other numbers."""
    return Bench


@pytest.fixture
def owner() -> Iterator[Owner]:
    """An owner whose managers are stopped at the end, whatever happened."""
    owner = Owner()
    yield owner
    for manager in owner.managers:
        manager.stop(grace_s=0)

"""Keeping the workers of a running bus right: growth, replacement, new executables."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import ACME, Programs, is_running, wait_until

from storagebus.client import Client
from storagebus.conf.keeper import Keeper
from storagebus.conf.schema import Configuration, Service
from storagebus.drivers.errors import UnavailableError
from storagebus.workers.children import ProcessSpec
from storagebus.workers.elastic import IDLE_S
from storagebus.workers.health import LOST_S_MAX, SILENT_S_MAX, STUCK_S_MAX
from storagebus.workers.manager import ChildStatus
from storagebus.workers.members import State

POOL = "worker files"
FILES = Service("files", "filesystem", workers=1, workers_max=3)
SPEC = ProcessSpec(POOL, ("python", "-m", "storagebus.conf"))


class Bus:
    """What manager and broker would say, and what the manager was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.workers: list[dict[str, Any]] = []
        self.states = {1: State.READY}
        self.waiting = 0
        self.total: int | None = None
        self.error: Exception | None = None
        self.add(1)
        census: Any = self
        configuration = Configuration(services={"files": FILES})
        self.keeper = Keeper(census, configuration, [SPEC])
        self.silent: dict[int, float] = {}
        self.forgiven: list[int] = []

    def add(self, child: int, **facts: Any) -> None:
        """A child, which is the worker of that number too."""
        self.states[child] = State.READY
        facts = {"calls": 0, "streams": 0, "slots": 4} | facts
        self.workers.append({"id": str(child), "pid": -child, **facts})

    def status(self) -> tuple[ChildStatus, ...]:
        return tuple(
            ChildStatus(POOL, child, -child, state)
            for child, state in self.states.items()
        )

    def bus_status(self) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        sums = {
            key: sum(worker[key] for worker in self.workers)
            for key in ("calls", "streams", "slots")
        }
        total = len(self.workers) if self.total is None else self.total
        files = {"workers": self.workers, "workers_total": total, **sums}
        return {"services": {"files": files | {"waiting": self.waiting}}}

    def silent_s(self) -> dict[int, float]:
        return self.silent

    def forgive(self, number: int) -> None:
        self.forgiven.append(number)
        del self.silent[number]

    def resize(self, *what: Any) -> None:
        self.told.append(("resize", *what))

    def replace(self, *what: Any) -> None:
        self.told.append(("replace", *what))

    def look(self, seconds: int, first: int = 0) -> None:
        """Look once a second."""
        manager: Any = self
        for now in range(first, first + seconds):
            for worker in self.workers:
                for key in ("stuck_s", "heard_s"):
                    if key in worker:
                        worker[key] += 1
            self.keeper.look(manager, float(now))


@pytest.fixture
def bus() -> Bus:
    return Bus()


def test_it_grows_while_calls_wait_and_shrinks_later(bus: Bus) -> None:
    bus.waiting = 3
    bus.look(2)
    assert bus.told == [("resize", POOL, 2)]
    bus.add(2)
    bus.look(1, 2)
    bus.add(3)
    bus.look(3, 3)
    assert bus.told[1:] == [("resize", POOL, 3)]
    bus.waiting = 0
    bus.look(int(IDLE_S) + 2, 10)
    assert bus.told[2:] == [("resize", POOL, 2)]


def test_it_looks_once_a_second(bus: Bus) -> None:
    manager: Any = bus
    bus.waiting = 3
    bus.keeper.look(manager, 0.0)
    bus.add(2)
    bus.keeper.look(manager, 0.9)
    assert len(bus.told) == 1
    bus.keeper.look(manager, 1.0)
    assert len(bus.told) == 2


@pytest.mark.parametrize(
    ("key", "most"), [("stuck_s", STUCK_S_MAX), ("heard_s", SILENT_S_MAX)]
)
def test_a_worker_that_does_not_work_is_replaced_once(
    bus: Bus, key: str, most: float
) -> None:
    bus.add(2, **{key: 0.0})
    bus.look(int(most) + 1)
    assert bus.told == []
    bus.look(20, int(most) + 1)
    assert [(verb, child) for verb, child, *_ in bus.told] == [("replace", 2)]


def test_a_child_without_a_worker_is_replaced(bus: Bus) -> None:
    bus.states[7] = State.READY
    bus.states[8] = State.STARTING
    bus.look(int(LOST_S_MAX) + 1)
    assert bus.told == []
    bus.look(20, int(LOST_S_MAX) + 1)
    assert [(verb, child) for verb, child, *_ in bus.told] == [("replace", 7)]


def test_a_child_that_comes_back_is_not(bus: Bus) -> None:
    bus.states[7] = State.READY
    bus.look(8)
    bus.add(7)
    bus.look(1, 8)
    bus.workers.pop()
    bus.look(8, 9)
    assert bus.told == []


def test_workers_that_a_status_leaves_out_are_not_missed(bus: Bus) -> None:
    bus.states[7] = State.READY
    bus.total = 2
    bus.look(60)
    assert bus.told == []


def test_while_the_broker_is_away_nobody_is_judged(bus: Bus) -> None:
    bus.add(2, heard_s=0.0)
    bus.look(5)
    bus.error = UnavailableError("away")
    bus.look(60, 5)
    bus.error = None
    bus.workers[1]["heard_s"] = 60.0  # as before the broker went
    bus.look(5, 65)
    assert bus.told == []


BUS_TOML = """
[services.default]
driver = "acme"
workers = 1
workers_max = 3
slots = 2
parameters = { rootdirectory = "%s" }
"""


@pytest.fixture
def running(up: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bus that serves the driver acme, its client, and the programs."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    programs = Programs(directory)
    programs.add("acme", ACME)
    config = tmp_path / "bus.toml"
    config.write_text(BUS_TOML % (tmp_path / "store"))
    started = up("--config", str(config))
    endpoint = started.line().removeprefix("storagebus: ready at ").strip()
    with Client(endpoint, deadline=40.0) as client:
        yield client, programs
    started.stop()
    programs.await_none()


def pids(client: Client) -> set[int]:
    workers = client.bus_status()["services"]["default"]["workers"]
    return {worker["pid"] for worker in workers}


def test_a_service_grows_and_takes_up_a_new_executable_without_a_failed_call(
    running: tuple[Client, Programs],
) -> None:
    client, programs = running
    client.put_content("/sleep/0.1", b"")
    errors: list[BaseException] = []
    ended = threading.Event()

    def work(call: Callable[[], object]) -> None:
        try:
            while not ended.is_set():
                call()
        except BaseException as error:
            errors.append(error)

    def write() -> None:
        with client.writer("/a") as writer:
            writer.write(b"x" * 300_000)
            writer.commit()
        assert client.stat("/a").size == 300_000

    calls = [write, *[lambda: client.stat("/sleep/0.1")] * 11]
    threads = [threading.Thread(target=work, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    try:
        assert wait_until(lambda: len(pids(client)) == 3, 20)
        before = pids(client)
        programs.add("acme", ACME + "\n# the next version\n")
        assert wait_until(
            lambda: len(pids(client)) == 3 and not before & pids(client), 30
        )
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)
    assert errors == []


@pytest.mark.slow
def test_a_worker_that_stands_still_is_replaced(
    running: tuple[Client, Programs],
) -> None:
    client, _ = running
    client.put_content("/a", b"1")
    (pid,) = pids(client)
    os.kill(pid, signal.SIGSTOP)
    assert client.get_content("/a") == b"1"  # waits for the next one
    assert wait_until(lambda: not is_running(pid), 10)

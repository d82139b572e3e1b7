"""The listener's shell: what it asks, does, and says."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from storagebus.conf import listener
from storagebus.conf.health import Process, Report, Worker
from storagebus.conf.listener import Listener, as_report, broker_names
from storagebus.conf.watch import Watch
from storagebus.drivers.errors import UnavailableError
from storagebus.workers.health import STUCK_S_MAX

PID = 2**40
"""Beyond what a system has."""
WORKER = Process("storagebus-worker-a:worker-a-1", "a", PID, True)


class Supervised:
    """A supervisord of the test's."""

    def __init__(self) -> None:
        self.found: list[Process] | None = [WORKER]
        self.killed: list[Process] = []
        self.started: list[Process] = []
        self.willing = True

    def processes(self) -> list[Process]:
        if self.found is None:
            raise UnavailableError("supervisord is away")
        return self.found

    def kill(self, process: Process) -> bool:
        if not self.willing:
            raise UnavailableError("not now")
        self.killed.append(process)
        return True

    def start(self, process: Process) -> None:
        self.started.append(process)


class Bus:
    """A broker's answers."""

    def __init__(self) -> None:
        self.says: Callable[[], dict[str, Any]] = lambda: status(0.0)
        self.count = 1
        self.deaf: frozenset[int] = frozenset()

    def bus_status(self) -> dict[str, Any]:
        return self.says()


def status(stuck_s: float) -> dict[str, Any]:
    worker = {"id": "7-x", "pid": PID, "state": "ready", "stuck_s": stuck_s}
    return {"services": {"a": {"workers": [worker], "workers_total": 1}}}


def away() -> dict[str, Any]:
    raise UnavailableError("nobody listens")


@pytest.fixture
def scene() -> tuple[Supervised, Bus, Listener]:
    supervised, bus = Supervised(), Bus()
    return supervised, bus, Listener(supervised, bus, Watch())  # type: ignore[arg-type]


def test_what_the_watch_says_is_done(scene: tuple[Supervised, Bus, Listener]) -> None:
    supervised, bus, looking = scene
    looking.check()
    assert supervised.killed == []
    bus.says = lambda: status(STUCK_S_MAX + 0.1)
    looking.check()
    assert supervised.killed == [WORKER]


def test_it_outlives_everything_that_is_away(
    scene: tuple[Supervised, Bus, Listener], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "storagebus.listener")
    supervised, bus, looking = scene
    bus.says = away
    for _ in range(5):
        looking.check()
    supervised.found = None
    for _ in range(5):
        looking.check()
    supervised.found = [WORKER]
    bus.says = lambda: status(STUCK_S_MAX + 0.1)
    supervised.willing = False
    looking.check()
    # Each change once, and not what goes on.
    assert [record.getMessage() for record in caplog.records] == [
        "the broker does not answer: unavailable: nobody listens",
        "supervisord does not answer: unavailable: supervisord is away",
        "the broker answers again",
        "supervisord answers again",
        f"replacing storagebus-worker-a:worker-a-1 ({PID}): "
        "held on to a call 10 s after it was given up",
        "storagebus-worker-a:worker-a-1: unavailable: not now",
    ]


def test_it_looks_by_its_own_clock(
    scene: tuple[Supervised, Bus, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "CHECK_S", 0.01)
    supervised, bus, looking = scene
    bus.says = lambda: status(STUCK_S_MAX + 0.1)
    ended = threading.Event()
    thread = threading.Thread(target=looking.run, args=(ended,))
    thread.start()
    for _ in range(500):
        if supervised.killed:
            break
        ended.wait(0.01)
    ended.set()
    thread.join(20)
    assert not thread.is_alive()
    assert supervised.killed == [WORKER]


def test_a_report_of_everything() -> None:
    # A child of this process, in whose group it is.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        first = {"id": "1", "pid": child.pid, "state": "draining", "heard_s": 1.5}
        second = {"id": "2", "pid": PID, "stuck_s": 2.5}
        found = {
            "services": {
                "a": {"workers": [first, second], "workers_total": 2},
                "b": {"workers": [{"id": "3", "pid": 0}], "workers_total": 3},
            }
        }
        leader = os.getpgid(0)
        assert as_report(found) == Report(
            {
                "a": [
                    Worker(leader, True, silent_s=1.5),
                    Worker(PID, stuck_s=2.5),
                ],
                "b": [Worker(0)],
            },
            frozenset({"b"}),
        )


def test_a_given_up_process_is_started(
    scene: tuple[Supervised, Bus, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storagebus.conf.watch.REVIVE_S", 0.0)
    supervised, _, looking = scene
    given_up = replace(WORKER, pid=0, is_up=False, is_given_up=True)
    supervised.found = [given_up]
    looking.check()
    assert supervised.started == [given_up]


def test_the_names_of_brokers_that_do_not_answer() -> None:
    bus: Any = Bus()
    bus.deaf = frozenset({0})
    assert broker_names(bus) == ["storagebus-broker:storagebus-broker"]
    bus.count = 2
    assert broker_names(bus) == ["storagebus-broker:broker-1"]

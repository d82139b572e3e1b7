"""Who drives the loop while a job takes long."""

from __future__ import annotations

import math
import threading
import time
from itertools import count
from types import SimpleNamespace

import pytest

from storagebus.drivers.progress import Steps
from storagebus.workers import helm
from storagebus.workers.helm import (
    BUSY_LOOKS_MAX,
    IDLE_LOOKS_MAX,
    LOOK_S,
    LOOKOUT_NAME,
    THREADS_NAME,
    Helm,
)
from storagebus.workers.schedule import Task

PATIENCE_S = 20.0


class Loop:
    """Runs the jobs it is given, each in whatever thread has the helm."""

    def __init__(self) -> None:
        self.helm = Helm(self._drive)
        self.jobs: list = []
        self.kept: list = []
        self.lost: list = []
        self.held: list = []
        self.drivers = 0
        self.together = 0
        self.ended = False
        self._more = threading.Condition()
        self._numbers = count(1)

    def give(self, job) -> None:
        with self._more:
            self.jobs.append(job)
            self._more.notify_all()

    def end(self) -> None:
        with self._more:
            self.ended = True
            self._more.notify_all()
        self.helm.stop()

    def until(self, true) -> None:
        with self._more:
            assert self._more.wait_for(true, PATIENCE_S)

    def _drive(self, held) -> None:
        if held is not None:
            self.held.append(held)
        self.drivers += 1
        self.together = max(self.together, self.drivers)
        while True:
            with self._more:
                self._more.wait_for(lambda: self.jobs or self.ended)
                if self.ended:
                    return
                job = self.jobs.pop(0)
            stream = SimpleNamespace(steps=Steps(), operation=next(self._numbers))
            task = Task(stream, job, math.inf, False, 0.0)
            self.helm.leave(task)
            self.drivers -= 1
            job()
            if not self.helm.back(task):
                with self._more:
                    self.lost.append(task)
                    self._more.notify_all()
                return
            self.drivers += 1
            with self._more:
                self.kept.append(task)
                self._more.notify_all()


@pytest.fixture
def loop():
    made = Loop()
    made.helm.start()
    yield made
    made.end()
    deadline = time.monotonic() + PATIENCE_S
    names = (THREADS_NAME, LOOKOUT_NAME)
    while any(thread.name in names for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "threads that do not end"
        time.sleep(0.001)


def test_quick_jobs_leave_the_helm_where_it_is(loop, monkeypatch) -> None:
    # A busy machine may keep a thread from running for longer than it is patient.
    monkeypatch.setattr(helm, "LOOK_S", 20 * LOOK_S)
    seen, given = set(), 0
    ends = time.monotonic() + 10 * helm.LOOK_S
    while time.monotonic() < ends:
        loop.give(lambda: seen.add(threading.get_ident()))
        given += 1
        loop.until(lambda given=given: len(loop.kept) == given)
    assert len(seen) == 1
    assert loop.helm.changes == 0


def test_a_job_that_hangs_loses_the_helm_and_others_go_on(loop) -> None:
    free = threading.Event()
    loop.give(free.wait)
    loop.give(lambda: None)
    loop.until(lambda: len(loop.kept) == 1)
    assert loop.helm.changes == 1
    free.set()
    loop.until(lambda: len(loop.lost) == 1)
    assert loop.held == [task.stream.operation for task in loop.lost]
    assert loop.kept[0] is not loop.lost[0]


def test_a_job_that_works_for_long_loses_the_helm_later(loop) -> None:
    ends = time.monotonic() + 20 * BUSY_LOOKS_MAX * LOOK_S

    def work() -> None:
        while loop.helm.changes == 0 and time.monotonic() < ends:
            pass

    began = time.monotonic()
    loop.give(work)
    loop.until(lambda: len(loop.lost) == 1)
    assert loop.helm.changes == 1
    # Each wait of the thread for the interpreter may end it earlier than this.
    assert time.monotonic() - began >= LOOK_S


def test_without_a_thread_to_be_had_it_tries_again(loop, monkeypatch) -> None:
    """The helm is lost only to somebody."""
    free, refused = threading.Event(), threading.Semaphore(0)
    start = threading.Thread.start

    def no_more(self) -> None:
        refused.release()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    loop.give(free.wait)
    assert all(refused.acquire(timeout=PATIENCE_S) for _ in range(3))
    assert loop.helm.changes == 0
    monkeypatch.setattr(threading.Thread, "start", start)
    loop.give(lambda: None)
    loop.until(lambda: len(loop.kept) == 1)
    assert loop.helm.changes == 1
    free.set()
    loop.until(lambda: len(loop.lost) == 1)


def test_every_job_that_hangs_is_told_apart(loop) -> None:
    gates = [threading.Event() for _ in range(5)]
    for gate in gates:
        loop.give(gate.wait)
    loop.give(lambda: None)
    loop.until(lambda: len(loop.kept) == 1)
    for gate in reversed(gates):
        gate.set()
    loop.until(lambda: len(loop.lost) == 5)
    assert loop.helm.changes == 5
    assert sorted(loop.held) == sorted(task.stream.operation for task in loop.lost)
    assert loop.together == 1


def test_of_jobs_about_as_long_as_its_patience_none_is_lost_or_done_twice(loop) -> None:
    for number in range(60):
        loop.give(lambda number=number: time.sleep(LOOK_S * (0.8 + number % 5 / 5)))
    loop.until(lambda: len(loop.kept) + len(loop.lost) == 60)
    assert len({id(task) for task in loop.kept + loop.lost}) == 60
    assert loop.helm.changes == len(loop.lost)
    assert loop.together == 1


def test_the_lookout_wakes_from_its_rest(loop) -> None:
    loop.give(lambda: None)
    time.sleep(LOOK_S * IDLE_LOOKS_MAX * 1.5)
    deadline = time.monotonic() + PATIENCE_S
    while loop.helm._looking:
        assert time.monotonic() < deadline, "it never rests"
        time.sleep(LOOK_S)
    free = threading.Event()
    loop.give(free.wait)
    loop.give(lambda: None)
    loop.until(lambda: len(loop.kept) == 2)
    free.set()
    loop.until(lambda: len(loop.lost) == 1)

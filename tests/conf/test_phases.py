import threading
import time

import pytest

from storagebus.conf.phases import HEADING, Group, Row, run
from storagebus.conf.workload import Stopped, Tally
from storagebus.drivers.errors import DeadlineExceededError


def nothing(seconds: float) -> None:
    """A tick that nobody listens to."""


def counts(number: int, tally: Tally, stopped: Stopped) -> None:
    started = time.perf_counter()
    time.sleep(0.001)
    tally.add(started, number)


def test_groups_run_together_for_the_time() -> None:
    passed = []
    groups = [Group("first", 3, counts), Group("second", 1, counts)]
    start = time.perf_counter()
    first, second = run(groups, 0.4, 5, passed.append)
    took = time.perf_counter() - start
    assert took >= 0.4
    assert (first.name, first.threads, second.threads) == ("first", 3, 1)
    assert first.tally.operations > second.tally.operations > 0
    assert first.tally.latencies.count == first.tally.operations
    assert first.tally.size > 0
    assert second.tally.size == 0
    assert 0.4 <= first.seconds == second.seconds <= took
    assert 0 < sum(passed) <= took


def test_the_first_failure_ends_it_at_once() -> None:
    def fails(number: int, tally: Tally, stopped: Stopped) -> None:
        raise ValueError("lost")

    start = time.perf_counter()
    with pytest.raises(ValueError, match="lost"):
        run([Group("a", 2, counts), Group("b", 1, fails)], 60, 5, nothing)
    assert time.perf_counter() - start < 10


def test_a_step_that_hangs_is_an_error() -> None:
    go = threading.Event()

    def hangs(number: int, tally: Tally, stopped: Stopped) -> None:
        go.wait(30)

    with pytest.raises(DeadlineExceededError, match=r"slow: a call .* 0\.1 s"):
        run([Group("slow", 1, hangs)], 0.1, 0.1, nothing)
    go.set()


def test_an_interrupted_phase_is_over_when_it_raises() -> None:
    active = set()

    def works(number: int, tally: Tally, stopped: Stopped) -> None:
        active.add(number)
        time.sleep(0.2)
        active.discard(number)

    def interrupts(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([Group("a", 4, works)], 60, 10, interrupts)
    assert active == set()


def test_a_row() -> None:
    tally = Tally()
    for seconds in (0.001, 0.002, 0.004):
        tally.latencies.add(seconds)
    tally.operations, tally.size = 3, 3 << 20
    row = Row("read", 2, 1.5, tally)
    said = row.fields()
    assert said["operations_per_s"] == 2
    assert said["bytes_per_s"] == 2 << 20
    assert said["p50_ms"] == pytest.approx(2, rel=0.025)
    assert said["p99_ms"] == said["longest_ms"] == 4
    assert "2.0 MiB/s" in row.line()
    assert len(row.line()) == len(HEADING) <= 100
    tally.size = 0
    assert " - " in row.line()

"""The guard: what is on its list dies when its pipe ends."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import wait_until

from storagebus.workers.guard import RESTART_S, Guard
from storagebus.workers.process import Process


@pytest.fixture
def guard() -> Iterator[Guard]:
    """A guard that runs."""
    guard = Guard()
    assert guard.ensure([], now=0.0)
    yield guard
    guard.close()


@pytest.fixture
def sleepers() -> Iterator[list[Process]]:
    """Three processes that would sleep for long."""
    made = [Process(["sleep", "60"], dict(os.environ)) for _ in range(3)]
    yield made
    for process in made:
        process.send(signal.SIGKILL)
        process.wait(5)
        process.reap()


def test_it_kills_what_is_on_its_list_and_nothing_else(
    guard: Guard, sleepers: list[Process]
) -> None:
    first, second, third = sleepers
    for process in sleepers:
        guard.add(process.pid)
    guard.remove(second.pid)
    guard.close()
    assert first.wait(20)
    assert third.wait(20)
    assert not second.wait(0.1)


def test_a_list_of_many_survives_removals_in_any_order(guard: Guard) -> None:
    # Numbers above any process: nothing could be hit, all are removed again.
    numbers = [10**9 + number * 7 % 300 for number in range(300)]
    for number in numbers:
        guard.add(number)
    for number in reversed(numbers):
        guard.remove(number)
    guard.close()
    assert guard.pid is None


def ignored(pid: int) -> set[int]:
    """The signals that a process ignores."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.partition("SigIgn:")[2].split()[0], 16)
    return {number for number in signal.valid_signals() if mask >> number - 1 & 1}


def test_it_ends_only_with_its_pipe_whatever_it_is_sent(guard: Guard) -> None:
    pid = guard.pid
    assert pid is not None
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    assert wait_until(lambda: ignored(pid).issuperset(numbers), 20)
    for number in numbers:
        os.kill(pid, number)
    time.sleep(0.05)
    os.kill(pid, 0)


def test_it_is_started_again_but_not_in_a_hurry(sleepers: list[Process]) -> None:
    guard = Guard()
    assert guard.ensure([], now=5.0)
    assert not guard.ensure([], now=100.0)  # it runs
    assert guard.pid is not None
    os.kill(guard.pid, signal.SIGKILL)
    guard.close()
    assert guard.fd == -1
    assert not guard.ensure([], now=5.0 + RESTART_S / 2)
    assert guard.ensure([sleepers[0].pid], now=5.0 + RESTART_S)
    guard.close()
    assert sleepers[0].wait(20)


def test_one_that_is_stuck_never_blocks_its_owner(guard: Guard) -> None:
    assert guard.pid is not None
    os.kill(guard.pid, signal.SIGSTOP)
    started = time.monotonic()
    for number in range(20_000):  # more than a pipe holds
        guard.add(10**9 + number)
    guard.close()
    assert time.monotonic() - started < 5


def test_without_a_shell_it_is_an_error() -> None:
    with pytest.raises(OSError):
        Guard(shell="/there/is/no/shell").ensure([], now=0.0)

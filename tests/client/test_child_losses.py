"""Processes that die, hang or stand still while they have work."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from programs import ACME, Programs, is_running, wait_until

from storagebus.client import childpool
from storagebus.client.child import ChildDriver
from storagebus.drivers import create
from storagebus.drivers.errors import (
    DeadlineExceededError,
    Executed,
    PathNotFoundError,
    PoisonRequestError,
    StorageError,
    UnavailableError,
    WorkerLostError,
)
from storagebus.workers import health
from storagebus.workers.elastic import PoolSize

MakeAcme = Callable[..., ChildDriver]
BYTES = 24_000_000


@pytest.fixture
def acme(programs: Programs, tmp_path: Path) -> Iterator[MakeAcme]:
    """Makes drivers of one store, and closes them."""
    path = programs.add("acme", ACME)
    made: list[ChildDriver] = []

    def make(
        workers: int = 2, deadline: float = 20.0, **parameters: Any
    ) -> ChildDriver:
        given = {"rootdirectory": str(tmp_path / "store"), **parameters}
        size = PoolSize(workers, workers)
        made.append(ChildDriver("acme", str(path), given, size, deadline))
        assert wait_until(lambda: len(made[-1].pool.pids()) == workers, 10)
        return made[-1]

    yield make
    for driver in made:
        driver.close()


def content(size: int = BYTES) -> bytes:
    return random.Random(size).randbytes(size)


def kill(driver: ChildDriver, number: int = signal.SIGKILL) -> list[int]:
    """Signal every process of a driver."""
    pids = driver.pool.pids()
    for pid in pids:
        os.kill(pid, number)
    return pids


@pytest.mark.parametrize("workers", [1, 2])
def test_a_read_goes_on_with_the_right_bytes(acme: MakeAcme, workers: int) -> None:
    driver = acme(workers)
    data = content()
    driver.put_content("/a/b", data)
    with driver.reader("/a/b", offset=7) as reader:
        head = reader.read(1_000_000)
        killed = kill(driver)
        rest = reader.read()
    assert head + rest == data[7:]
    assert driver.stat("/pid").size not in killed


def test_an_upload_goes_on_without_a_gap(acme: MakeAcme) -> None:
    driver = acme()
    data = content()
    with driver.writer("/a/b") as writer:
        for start in range(0, len(data), 1_000_000):
            if start in (8_000_000, 16_000_000):
                kill(driver)
                assert wait_until(lambda: len(driver.pool.pids()) == 2, 10)
            writer.write(data[start : start + 1_000_000])
        assert writer.size == len(data)
        writer.commit()
    assert driver.get_content("/a/b") == data


def test_an_upload_that_cannot_go_on_says_what_is_durable(acme: MakeAcme) -> None:
    driver = acme(resume=False)
    data = content(4_000_000)
    writer = driver.writer("/a/b")
    writer.write(data)
    assert wait_until(lambda: writer.durable > 0, 10)
    kill(driver)
    for _ in range(2):
        with pytest.raises(WorkerLostError) as caught:
            for _ in range(100):
                writer.write(data)
                time.sleep(0.05)
        assert caught.value.durable is not None
        assert 0 < caught.value.durable <= writer.size
    writer.close()
    with pytest.raises(PathNotFoundError):
        driver.stat("/a/b")  # nothing of it is visible
    driver.put_content("/a/c", b"the next call works")


def test_a_call_that_ends_process_after_process_is_found_out(acme: MakeAcme) -> None:
    driver = acme()
    driver.put_content("/a", b"1")
    before = driver.pool.pids()
    with pytest.raises(PoisonRequestError) as caught:
        driver.move("/a", "/fatal/b")
    assert caught.value.executed is Executed.MAYBE
    assert "3 workers" in str(caught.value)
    assert "was ended by SIGSEGV" in str(caught.value)
    assert "the disk is on fire" in str(caught.value)
    assert caught.value.driver == "acme"
    assert driver.get_content("/a") == b"1"
    assert wait_until(lambda: len(driver.pool.pids()) == 2, 10)
    after = driver.pool.pids()
    assert not set(before) & set(after)
    with pytest.raises(PoisonRequestError):
        driver.move("/a", "/fatal/b")
    assert driver.pool.pids() == after  # nobody had to die for that
    driver.move("/a", "/b")


def test_a_small_call_that_ends_processes_is_found_out_too(acme: MakeAcme) -> None:
    """By a call lane the broker does not see what a process was ended by."""
    driver = acme()
    driver.put_content("/a", b"1")
    for _ in range(50):
        driver.stat("/a")
    ended: set[int] = set()
    for number in range(6):
        pids = set(driver.pool.pids())
        with pytest.raises(PoisonRequestError):
            driver.stat("/fatal")
        assert wait_until(lambda: len(driver.pool.pids()) == 2, 10)
        ended |= pids - set(driver.pool.pids())
        if number:
            assert set(driver.pool.pids()) == pids, "nobody has to die any more"
        for _ in range(50):
            assert driver.stat("/a").size == 1
    assert 2 <= len(ended) <= 4


def test_calls_go_on_while_processes_are_killed(acme: MakeAcme) -> None:
    driver = acme()
    data = content(300_000)
    driver.put_content("/a", data)
    errors: list[BaseException] = []
    ends = time.monotonic() + 2.0

    def work() -> None:
        try:
            while time.monotonic() < ends:
                assert driver.get_content("/a") == data
                driver.put_content("/b", data)
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    chance = random.Random(1)
    while time.monotonic() < ends:
        pids = driver.pool.pids()
        if len(pids) == 2:
            os.kill(chance.choice(pids), signal.SIGKILL)
        time.sleep(0.3)
    for thread in threads:
        thread.join(30)
    assert errors == []


@pytest.mark.parametrize(
    "call",
    [
        lambda driver: driver.stat("/hang"),
        lambda driver: driver.move("/a", "/hang"),
        lambda driver: driver.delete("/hang"),
    ],
    ids=["stat", "move", "delete"],
)
def test_a_hung_call_ends_at_its_deadline_and_the_process_later(
    acme: MakeAcme,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[ChildDriver], None],
) -> None:
    monkeypatch.setattr(health, "STUCK_S_MAX", 0.5)
    monkeypatch.setattr(health, "STUCK_GRACE_S", 0.5)
    driver = acme(1, deadline=1.0)
    driver.put_content("/a", b"1")
    (pid,) = driver.pool.pids()
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        call(driver)
    assert 0.8 < time.monotonic() - started < 10  # another limit is 30 s
    assert caught.value.executed is Executed.MAYBE
    assert driver.get_content("/a") == b"1"
    assert wait_until(lambda: not is_running(pid), 10)
    assert wait_until(lambda: _answers(driver), 10)
    assert driver.stat("/pid").size != pid


def test_work_that_moves_on_may_outlast_the_deadline(acme: MakeAcme) -> None:
    driver = acme(1, deadline=2.0)
    driver.put_content("/a", b"1")
    started = time.monotonic()
    driver.move("/a", "/long")
    assert time.monotonic() - started > 2.9


def test_a_process_that_stands_still_is_replaced(
    acme: MakeAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "SILENT_S_MAX", 2.5)
    driver = acme(1)
    driver.put_content("/a", b"1")
    (pid,) = kill(driver, signal.SIGSTOP)
    assert driver.get_content("/a") == b"1"  # by the next process, within its deadline
    assert wait_until(lambda: not is_running(pid), 10)
    assert driver.stat("/pid").size != pid


def test_when_no_process_starts_any_more_the_error_says_why(
    acme: MakeAcme, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = acme(1)
    broken = "import sys; print('no such luck', file=sys.stderr); sys.exit(9)"
    monkeypatch.setattr(childpool.ExecutableWatch, "changed", lambda *_: False)
    programs.add("acme", broken)
    kill(driver)
    started = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        driver.stat("/a")
    assert time.monotonic() - started < 10
    assert "exited with code 9" in str(caught.value)
    assert "no such luck" in str(caught.value)
    with pytest.raises(UnavailableError, match="no such luck"):
        driver.stat("/a")


def test_an_in_memory_child_that_dies_has_forgotten_all(programs: Programs) -> None:
    program = "import storagebus.workers.builtin as b; b.inmemory()"
    programs.add("volatile", program)
    with create("volatile") as driver:
        assert isinstance(driver, ChildDriver)
        driver.put_content("/a", b"1")
        kill(driver)
        with pytest.raises(PathNotFoundError):
            driver.get_content("/a")


def _answers(driver: ChildDriver) -> bool:
    try:
        driver.stat("/pid")
    except StorageError:
        return False
    return True

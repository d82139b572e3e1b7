"""Pools of managed children: growing, shrinking, being replaced, and closing."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from programs import ACME, DRIVER, Programs, wait_until

from storagebus.client import household
from storagebus.client.child import ChildDriver
from storagebus.drivers import StorageDriver, create
from storagebus.drivers.errors import (
    InvalidStateError,
    StorageError,
    UnavailableError,
)
from storagebus.workers import elastic, watch


class Workload:
    """Threads that do the same again and again; the first error of each is kept."""

    def __init__(self, *works: Any) -> None:
        self.errors: list[BaseException] = []
        self.done = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[w]) for w in works]
        for thread in self._threads:
            thread.start()

    def _run(self, work: Any) -> None:
        number = 0
        try:
            while not self._stop.is_set():
                work(number)
                number += 1
                self.done += 1
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self) -> Workload:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def store(programs: Programs, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Parameters of the driver acme."""
    programs.add("acme", ACME)
    return {"rootdirectory": str(tmp_path / "store")}


def pids(driver: StorageDriver) -> set[int]:
    assert isinstance(driver, ChildDriver)
    return set(driver.pool.pids())


def is_closed(driver: StorageDriver) -> bool:
    """Whether it takes no more calls."""
    try:
        driver.stat("/a")
    except InvalidStateError as error:
        return "closed" in str(error)
    return False


def test_a_pool_grows_and_shrinks_with_its_load(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elastic, "IDLE_S", 1.0)
    monkeypatch.setattr(household, "GRACE_S", 1.0)
    pool = {"min": 1, "max": 3, "slots": 2}
    with create("acme", store, pool=pool) as driver:
        driver.put_content("/sleep/0.05", b"")
        assert len(pids(driver)) == 1
        work = [lambda number: driver.stat("/sleep/0.05")] * 12
        with Workload(*work) as load:
            assert wait_until(lambda: len(pids(driver)) == 3, 15)
        assert load.errors == []
        # Streams that go on while the pool shrinks go on.
        data = random.Random(1).randbytes(3_000_000)
        with driver.writer("/a") as writer:
            while len(pids(driver)) > 1:
                writer.write(data)
                time.sleep(0.1)
                assert writer.size < 600_000_000
            writer.commit()
        assert driver.stat("/a").size == writer.size


def test_slots_bound_the_calls_at_once_in_a_process(store: dict[str, Any]) -> None:
    with create("acme", store, pool={"workers": 1, "slots": 2}) as driver:
        driver.put_content("/sleep/0.2", b"")
        started = time.monotonic()
        work = [
            threading.Thread(target=driver.stat, args=["/sleep/0.2"]) for _ in range(6)
        ]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        assert time.monotonic() - started > 0.55  # three times two


def test_a_driver_that_cannot_share_has_one_process(
    programs: Programs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    programs.add("volatile", "import storagebus.workers.builtin as b; b.inmemory()")
    with create("volatile", {}, pool={"workers": 4}) as driver:
        for number in range(20):
            driver.put_content(f"/a/{number}", b"%d" % number)
        time.sleep(0.6)
        assert len(pids(driver)) == 1
        assert len(driver.list("/a")) == 20
    assert "cannot share: one process" in caplog.text


def test_a_replaced_executable_is_taken_up_without_a_failed_call(
    store: dict[str, Any], programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SETTLE_S", 0.3)
    chance = random.Random(2)
    data = chance.randbytes(700_000)
    with create("acme", store, pool={"workers": 2}) as driver:
        driver.put_content("/read", data)
        before = pids(driver)

        def read(number: int) -> None:
            assert driver.get_content("/read") == data

        def stream(number: int) -> None:
            with driver.reader("/read", offset=number % 1_000) as reader:
                assert reader.read(1_000) == data[number % 1_000 :][:1_000]
                time.sleep(0.02)
                assert reader.read() == data[number % 1_000 + 1_000 :]

        def write(number: int) -> None:
            part = data[number % 1_000 :]
            with driver.writer("/written") as writer:
                writer.write(part[:300_000])
                time.sleep(0.02)
                writer.write(part[300_000:])
                writer.commit()
            assert driver.stat("/written").size == len(part)

        def move(number: int) -> None:
            driver.put_content(f"/move/{number}", b"%d" % number)
            driver.move(f"/move/{number}", "/moved/here")
            assert driver.get_content("/moved/here") == b"%d" % number

        with Workload(read, read, stream, stream, write, move) as load:
            programs.add("acme", ACME + "\n# the next version\n")
            assert wait_until(
                lambda: len(pids(driver)) == 2 and not before & pids(driver), 30
            )
            time.sleep(0.3)
        assert load.errors == []
        assert load.done > 20


def test_a_replacement_that_does_not_start_leaves_the_old_ones(
    store: dict[str, Any],
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(watch, "SETTLE_S", 0.3)
    caplog.set_level("INFO")
    with create("acme", store, pool={"workers": 2}) as driver:
        driver.put_content("/a", b"1")
        assert wait_until(lambda: caplog.text.count("is ready") == 2, 10)
        before = pids(driver)
        programs.add("acme", "raise SystemExit('not today')")
        assert wait_until(lambda: "the old processes go on" in caplog.text, 10)
        assert "exited with code 1" in caplog.text
        assert driver.get_content("/a") == b"1"
        assert pids(driver) == before


def test_a_driver_that_cannot_share_keeps_its_process(
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(watch, "SETTLE_S", 0.3)
    program = "import storagebus.workers.builtin as b; b.inmemory()"
    programs.add("volatile", program)
    with create("volatile") as driver:
        driver.put_content("/a", b"1")
        before = pids(driver)
        programs.add("volatile", program + "  # the next version")
        assert wait_until(lambda: "does not share its state" in caplog.text, 10)
        assert driver.get_content("/a") == b"1"
        assert pids(driver) == before


def test_close_lets_running_streams_finish(store: dict[str, Any]) -> None:
    driver = create("acme", store)
    data = random.Random(3).randbytes(8_000_000)
    driver.put_content("/a", data)
    reader = driver.reader("/a")
    digest = hashlib.sha256(reader.read(100_000))
    closing = threading.Thread(target=driver.close)
    closing.start()
    assert wait_until(lambda: is_closed(driver), 10)
    while piece := reader.read(100_000):
        digest.update(piece)
        time.sleep(0.001)
    reader.close()
    closing.join(10)
    assert not closing.is_alive()
    assert digest.digest() == hashlib.sha256(data).digest()


def test_close_ends_what_does_not_finish(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(household, "GRACE_S", 0.5)
    driver = create("acme", store)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            driver.stat("/hang")
        except BaseException as error:
            caught.append(error)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    started = time.monotonic()
    driver.close()
    assert time.monotonic() - started < 8
    for thread in threads:
        thread.join(20)
    assert len(caught) == 3
    assert all(isinstance(error, StorageError) for error in caught)
    assert all(isinstance(e, UnavailableError | InvalidStateError) for e in caught)


def test_output_arrives_in_the_log_line_by_line(
    programs: Programs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    programs.add(
        "chatty",
        DRIVER
        + """
        print("a word on stdout", flush=True)
        print("a word on stderr", file=sys.stderr)
        print("<3>an error\\n<7>a detail", file=sys.stderr)
        serve(create("inmemory"))
        """.replace("\n        ", "\n"),
    )
    with create("chatty") as driver:
        (pid,) = pids(driver)
        driver.put_content("/a", b"1")
    records = [r for r in caplog.records if r.name == "storagebus.driver.chatty"]
    found = {r.getMessage(): r.levelname for r in records}
    assert found[f"chatty[{pid}]: a word on stdout"] == "INFO"
    # It came before the process was ready, and does not say its level.
    assert found[f"chatty[{pid}]: a word on stderr"] == "INFO"
    assert found[f"chatty[{pid}]: an error"] == "ERROR"
    assert found[f"chatty[{pid}]: a detail"] == "DEBUG"
    assert found[f"chatty[{pid}]: ended: drained"] == "INFO"  # the worker's own
    assert {getattr(r, "child_pid", None) for r in records} == {pid}

"""Who waits for something, and who for a processor only."""

from __future__ import annotations

import threading
import time

from programs import wait_until

from storagebus.workers import effort as module
from storagebus.workers.effort import Effort, could_run, effort, spent_us


def test_a_wait_counts_with_all_its_time() -> None:
    before, began = effort(), time.monotonic()
    time.sleep(0.05)
    wall_us = (time.monotonic() - began) * 1e6
    assert spent_us(before, effort(), wall_us) == wall_us >= 50_000


def test_work_counts_by_the_processors_time() -> None:
    before = effort()
    while effort().cpu_us - before.cpu_us < 20_000:
        pass
    after = Effort(effort().cpu_us, before.waits)  # the interpreter's own waits apart
    spent = spent_us(before, after, 1e9)
    assert 20_000 <= spent < 1_000_000
    assert spent_us(before, after, 5.0) == 5.0


def test_where_the_system_does_not_say_the_clock_counts(monkeypatch) -> None:
    monkeypatch.setattr(module, "_THREAD", None)
    assert spent_us(effort(), effort(), 77.0) == 77.0


def test_who_could_run() -> None:
    gate, ended = threading.Event(), threading.Event()
    ids: dict[str, int] = {}

    def wait() -> None:
        ids["waits"] = threading.get_native_id()
        gate.wait()

    threads = [threading.Thread(target=wait)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: "waits" in ids and not could_run(ids["waits"]), 10)
    assert could_run(threading.get_native_id())
    gate.set()
    ended.set()
    for thread in threads:
        thread.join()
    assert not could_run(ids["waits"])  # it is gone

"""broker/wakeup.py: no wake-up is lost, whatever the threads do."""

from __future__ import annotations

import os
import select
import threading
from collections import deque

import pytest

from storagebus.broker.wakeup import Wakeup


def readable(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup.fileno()], [], [], 0)[0])


@pytest.fixture
def wakeup():
    made = Wakeup()
    yield made
    made.close()


def test_signals_collapse(wakeup: Wakeup) -> None:
    assert not readable(wakeup)
    wakeup.set()
    wakeup.set()
    assert readable(wakeup)
    wakeup.clear()
    assert not readable(wakeup)
    wakeup.clear()
    wakeup.set()
    assert readable(wakeup)


def test_set_amid_clear_is_not_lost(
    wakeup: Wakeup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `set` between the two steps of `clear` must not silence the later ones."""
    read = os.eventfd_read

    def read_with_a_set_around(fd: int) -> int:
        wakeup.set()
        value = read(fd)
        wakeup.set()
        return value

    wakeup.set()
    monkeypatch.setattr(os, "eventfd_read", read_with_a_set_around)
    wakeup.clear()
    monkeypatch.undo()
    wakeup.set()
    assert readable(wakeup)


def test_threads_wake_a_sleeping_loop(wakeup: Wakeup) -> None:
    items: deque[int] = deque()
    count, threads_count = 2_000, 3

    def produce() -> None:
        for number in range(count):
            items.append(number)
            wakeup.set()

    threads = [threading.Thread(target=produce) for _ in range(threads_count)]
    for thread in threads:
        thread.start()
    seen = 0
    while seen < count * threads_count:
        assert select.select([wakeup.fileno()], [], [], 5)[0], "a wake-up was lost"
        wakeup.clear()
        while items:
            items.popleft()
            seen += 1
    for thread in threads:
        thread.join()


def test_after_close() -> None:
    wakeup = Wakeup()
    wakeup.close()
    wakeup.set()
    wakeup.close()

"""The bound of `maxthreads`."""

from __future__ import annotations

import threading

import pytest

from storagebus.drivers.errors import Executed, UnavailableError
from storagebus.drivers.permits import Permits


def test_no_more_than_the_count_run_at_once() -> None:
    permits = Permits(3)
    inside = threading.Semaphore(0)
    go = threading.Event()
    peak: list[int] = []
    busy = [0]
    lock = threading.Lock()

    def work() -> None:
        with permits:
            with lock:
                busy[0] += 1
                peak.append(busy[0])
            inside.release()
            go.wait(10)
            with lock:
                busy[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        assert inside.acquire(timeout=10)
    assert not inside.acquire(timeout=0.05)
    go.set()
    for thread in threads:
        thread.join(10)
    assert max(peak) == 3
    assert len(peak) == 8


def test_a_wait_ends_with_an_error_that_says_what_to_look_at() -> None:
    permits = Permits(1, wait_seconds_max=0.02)
    busy = pytest.raises(UnavailableError, match="maxthreads")
    with permits, busy as caught, permits:
        pass
    assert caught.value.executed is Executed.NO
    assert caught.value.temporary
    with permits:
        pass


def test_an_error_gives_the_permit_back() -> None:
    permits = Permits(1, wait_seconds_max=0.02)
    for _ in range(3):
        with pytest.raises(KeyError), permits:
            raise KeyError

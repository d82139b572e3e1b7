"""drivers/exclusive.py: who is in, who waits, and when it is ended."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from storagebus.drivers import Reader
from storagebus.drivers.checked import CheckedReader
from storagebus.drivers.errors import InvalidStateError
from storagebus.drivers.exclusive import Exclusive

WAIT_S = 20


def test_one_thread_at_a_time_is_in() -> None:
    turn = Exclusive()
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turn:
                inside += 1
                most = max(most, inside)
                threading.Event().wait(0.00001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert (inside, most) == (0, 1)


def test_who_closes_it_waits_for_nobody_and_whoever_is_in_ends_it() -> None:
    ended: list[str] = []
    turn = Exclusive(lambda: ended.append(threading.current_thread().name))
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        with turn:
            entered.set()
            leave.wait(WAIT_S)

    thread = threading.Thread(target=work, name="inside")
    thread.start()
    assert entered.wait(WAIT_S)
    turn.close()
    turn.close()
    assert ended == []
    leave.set()
    thread.join(WAIT_S)
    assert ended == ["inside"]
    turn.close()
    assert ended == ["inside"]


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    turn = Exclusive()
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        with turn:
            entered.set()
            leave.wait(WAIT_S)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(WAIT_S)
    child = os.fork()
    if not child:
        signal.alarm(WAIT_S)
        with turn:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    leave.set()
    thread.join(WAIT_S)
    assert status == 0


def test_threads_that_share_a_reader_take_turns_and_leave_nothing_out() -> None:
    stream = CheckedReader(Slow(bytes(range(250))), "/a", "acme")
    got: list[bytes] = []

    def work() -> None:
        while data := stream.read(10):
            got.append(data)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(got) == [bytes(range(n, n + 10)) for n in range(0, 250, 10)]


def test_a_reader_in_use_is_closed_by_who_uses_it() -> None:
    driver_s = Slow(bytes(100), pause_s=0.2)
    stream = CheckedReader(driver_s, "/a", "acme")
    thread = threading.Thread(target=stream.read, args=[10])
    thread.start()
    assert driver_s.reading.wait(20)
    stream.close()
    assert (stream.closed, driver_s.closed) == (True, False)
    thread.join(20)
    assert driver_s.closed
    with pytest.raises(InvalidStateError):
        stream.read(1)


class Slow(Reader):
    """Notices when two are in it; gives a byte at a time."""

    def __init__(self, data: bytes, pause_s: float = 0.0) -> None:
        self._data = data
        self._at = 0
        self._pause_s = pause_s
        self.reading = threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        at = self._at
        self.reading.set()
        time.sleep(self._pause_s)
        self._at = at + 1
        return self._data[at : at + 1]

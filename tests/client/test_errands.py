"""client/errands.py: threads that are left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from storagebus.client import errands as module
from storagebus.client.errands import Errands
from storagebus.drivers.errors import BusyError, DeadlineExceededError

PATIENCE_S = 20.0


@pytest.fixture
def errands() -> Errands:
    return Errands()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def threads() -> int:
    return sum(t.name == "storagebus-errand" for t in threading.enumerate())


def test_what_it_returns_or_raises(errands: Errands) -> None:
    assert errands.run(lambda: 7, PATIENCE_S) == 7
    assert errands.run(threading.get_ident, PATIENCE_S) != threading.get_ident()
    for error in (ValueError("no"), TimeoutError(110, "the server does not answer")):

        def fails(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            errands.run(fails, PATIENCE_S)
        assert caught.value is error


def test_the_caller_goes_when_its_time_is_over(
    errands: Errands, gate: threading.Event
) -> None:
    done: list[bool] = []
    began = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"nothing within 0\.2 s"):
        errands.run(lambda: done.append(gate.wait(PATIENCE_S)), 0.2)
    assert 0.2 <= time.monotonic() - began < 5
    assert errands.run(lambda: "others", PATIENCE_S) == "others"
    assert done == []
    gate.set()


def test_a_thread_does_one_errand_after_another(errands: Errands) -> None:
    idents = {errands.run(threading.get_ident, PATIENCE_S) for _ in range(50)}
    assert len(idents) <= 3, "one that is about to be idle is not counted on"


def test_as_many_threads_as_hang_and_no_more(
    errands: Errands, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "THREADS_MAX", 3)
    monkeypatch.setattr(module, "WAITING_MAX", 2)
    before = threads()
    deadline = time.monotonic() + PATIENCE_S
    for _ in range(3):
        hung = errands.begin(lambda: gate.wait(PATIENCE_S))
        while not hung.running():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    waiting = [errands.begin(lambda: "late") for _ in range(2)]
    assert threads() - before == 3
    with pytest.raises(BusyError, match="hang"):
        errands.begin(lambda: None)
    gate.set()
    assert [errand.result(PATIENCE_S) for errand in waiting] == ["late"] * 2


def test_who_has_gone_before_it_began_has_nothing_done(
    errands: Errands, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "THREADS_MAX", 1)
    done: list[str] = []
    hung = errands.begin(lambda: gate.wait(PATIENCE_S))
    with pytest.raises(DeadlineExceededError):
        errands.run(lambda: done.append("too late"), 0.1)
    gate.set()
    assert hung.result(PATIENCE_S)
    errands.run(lambda: done.append("after"), PATIENCE_S)
    assert done == ["after"]


def test_threads_go_when_nothing_is_to_do(
    errands: Errands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S_MAX", 0.05)
    before = threads()
    for _ in range(3):
        assert errands.run(lambda: 1, PATIENCE_S) == 1
        deadline = time.monotonic() + PATIENCE_S
        while threads() > before:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_process_ends_although_a_thread_hangs() -> None:
    program = (
        "import time\n"
        "from storagebus.client.errands import errands\n"
        "errands.begin(lambda: time.sleep(600))\n"
        "print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=True
    )
    assert done.stdout == b"end\n"


def test_a_forked_child_has_threads_of_its_own(gate: threading.Event) -> None:
    hung = module.errands.begin(lambda: gate.wait(PATIENCE_S))
    assert module.errands.run(lambda: 1, PATIENCE_S) == 1
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = module.errands.run(lambda: 42, PATIENCE_S)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
    gate.set()
    assert hung.result(PATIENCE_S)

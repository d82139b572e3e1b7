"""client/waiting.py: waits that block, and the thread that waits for what may hang."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from storagebus.client.waiting import Blocking, run_now
from storagebus.drivers.errors import DeadlineExceededError, UnavailableError

PATIENCE_S = 10.0


def test_a_coroutine_that_does_not_suspend_runs_to_its_end() -> None:
    async def inner(number: int) -> int:
        await Blocking().sleep(0.0)
        return number + 1

    async def outer() -> int:
        return await inner(await inner(1))

    assert run_now(outer()) == 3

    async def fails() -> None:
        raise UnavailableError("there is none")

    with pytest.raises(UnavailableError, match="there is none"):
        run_now(fails())


def test_one_that_suspends_is_an_error_of_ours() -> None:
    left: list[str] = []

    async def suspends() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            left.append("closed")

    with pytest.raises(AssertionError, match="has suspended"):
        run_now(suspends())
    assert left == ["closed"]


def test_what_cannot_hang_is_done_by_the_calling_thread() -> None:
    blocking = Blocking()
    own = threading.get_ident()
    assert run_now(blocking.run(threading.get_ident)) == own
    assert run_now(blocking.run(threading.get_ident, 5.0, at_once=True)) == own
    assert run_now(blocking.run(threading.get_ident, 5.0)) != own


def test_what_hangs_is_waited_for_until_the_deadline() -> None:
    let_go = threading.Event()
    began = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        run_now(Blocking().run(lambda: let_go.wait(PATIENCE_S), 0.1))
    assert 0.1 <= time.monotonic() - began < PATIENCE_S / 2
    let_go.set()


def test_it_sleeps() -> None:
    blocking = Blocking()
    began = blocking.now()
    run_now(blocking.sleep(0.05))
    assert blocking.now() - began >= 0.05

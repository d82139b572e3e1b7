"""The threads on which the driver works."""

import asyncio
import math
import select
import threading
import time
import weakref
from types import SimpleNamespace

import pytest

from storagebus.broker.wakeup import Wakeup
from storagebus.drivers.progress import Steps
from storagebus.workers.jobs import perform
from storagebus.workers.schedule import Task
from storagebus.workers.threads import THREADS_NAME, Threads


class Do:
    """A job that is a function."""

    def __init__(self, function):
        self._function = function

    def run(self, driver):
        return self._function(driver)


@pytest.fixture
def wakeup():
    made = Wakeup()
    yield made
    made.close()


@pytest.fixture
def threads(wakeup):
    made = Threads("the driver", wakeup)
    yield made
    made.stop()
    deadline = time.monotonic() + 5
    while any(t.name.startswith(THREADS_NAME) for t in threading.enumerate()):
        assert time.monotonic() < deadline, "threads that do not end"
        time.sleep(0.001)


def collect(threads, wakeup, count):
    """Outcomes, waited for as the loop does."""
    found = []
    while len(found) < count:
        assert select.select([wakeup], [], [], 5)[0], "no wake-up"
        wakeup.clear()
        found += threads.take(100)
    return found


def task(function, expires=math.inf):
    return Task(
        SimpleNamespace(steps=Steps(), standing=None), Do(function), expires, False, 0.0
    )


def test_outcomes_come_back_with_their_time(threads, wakeup):
    def work(driver):
        time.sleep(0.02)
        return driver.upper()

    one = task(work)
    threads.start(one)
    ((done, outcome),) = collect(threads, wakeup, 1)
    assert done is one
    assert (outcome.value, outcome.error, outcome.ran) == ("THE DRIVER", None, True)
    assert outcome.driver_us >= 20_000


def test_it_grows_to_what_is_asked_and_no_further(threads, wakeup):
    barrier = threading.Barrier(6)
    for _ in range(6):
        threads.start(task(lambda _: barrier.wait(20)))
    collect(threads, wakeup, 6)
    for _ in range(50):
        threads.start(task(lambda _: None))
        collect(threads, wakeup, 1)
    running = [t for t in threading.enumerate() if t.name.startswith(THREADS_NAME)]
    assert len(running) == 6
    assert all(thread.daemon for thread in running)


def test_what_has_expired_is_not_begun(threads, wakeup):
    began = []
    threads.start(task(began.append, expires=time.monotonic() - 0.001))
    ((_, outcome),) = collect(threads, wakeup, 1)
    assert outcome.ran is False
    assert outcome.error.executed.value == "no"
    assert began == []


def test_an_exception_is_an_outcome_but_an_exit_is_an_exit(threads, wakeup):
    def fail(_):
        raise LookupError("nothing")

    def leave(_):
        raise SystemExit(3)

    class Named:
        name = "acme"

    threads._driver = Named()
    threads.start(task(fail))
    ((_, outcome),) = collect(threads, wakeup, 1)
    assert "LookupError: nothing" in str(outcome.error)
    threads.start(task(leave))
    with pytest.raises(SystemExit) as caught:
        collect(threads, wakeup, 1)
    assert caught.value.code == 3


def test_a_thread_that_waits_holds_nothing(threads, wakeup):
    """A task has the bytes of its stream, or a whole segment of memory."""

    class Large:
        pass

    large = Large()
    gone = weakref.ref(large)
    threads.start(task(lambda _, large=large: None))
    del large
    collect(threads, wakeup, 1)
    deadline = time.monotonic() + 5
    while gone() is not None:
        assert time.monotonic() < deadline, "a thread that waits keeps its last task"
        time.sleep(0.001)


def test_threads_that_drove_the_loop_do_not_pile_up(threads, wakeup):
    """Each job that holds the loop up brings a thread into the pool."""

    def held_up(late):
        threads.give(late, threads.attempt(late))
        threads.work()

    for number in range(20):
        threads.adopt()
        late = task(lambda _: None)
        name = f"{THREADS_NAME}-late-{number}"
        threading.Thread(target=held_up, args=(late,), name=name, daemon=True).start()
        collect(threads, wakeup, 1)
    deadline = time.monotonic() + 5
    while len([t for t in threading.enumerate() if "-late-" in t.name]) > 1:
        assert time.monotonic() < deadline, "threads that are of no use"
        time.sleep(0.001)
    # Those that are left do for as many tasks as there were at once.
    barrier = threading.Barrier(3)
    for _ in range(3):
        threads.start(task(lambda _: barrier.wait(20)))
    assert all(o.error is None for _, o in collect(threads, wakeup, 3))


@pytest.mark.parametrize("raised", [asyncio.CancelledError(), GeneratorExit()])
def test_what_is_no_exception_ends_the_call_and_not_the_worker(raised):
    def fail(driver):
        raise raised

    outcome = perform(Do(fail), SimpleNamespace(name="acme"), math.inf)
    assert type(raised).__name__ in outcome.error.detail
    assert outcome.error.driver == "acme"

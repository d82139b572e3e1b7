import threading
import time
from collections.abc import Iterator

import pytest

from storagebus.client.transfer import (
    JOBS_MAX,
    WAITING_PER_JOB_MAX,
    Copy,
    Summary,
    Tally,
    printable,
    run,
)
from storagebus.drivers.errors import (
    CancelledError,
    InvalidParameterError,
    InvalidPathError,
    PathNotFoundError,
    StorageError,
    StorageFullError,
    UnavailableError,
    WorkerLostError,
)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.size = 0
        self.files = 0
        self.faults: list[tuple[str, StorageError]] = []

    def moved(self, count: int) -> None:
        self.size += count

    def finished(self) -> None:
        self.files += 1

    def fault(self, name: str, error: StorageError) -> None:
        self.faults.append((name, error))


def failing(error: BaseException) -> Copy:
    def fail() -> None:
        raise error

    return Copy("broken", fail)


def test_all_copies_are_run_and_counted() -> None:
    heard = Heard()
    tally = Tally(heard)
    run([Copy(f"n{n}", lambda n=n: tally.moved(n)) for n in range(100)], 8, tally)
    assert tally.summary() == Summary(100, sum(range(100)), 0, 0, 0)
    assert (heard.files, heard.size, heard.faults) == (100, sum(range(100)), [])
    assert tally.outcome() is None


def test_a_failing_file_does_not_stop_the_others() -> None:
    heard = Heard()
    tally = Tally(heard)
    error = PathNotFoundError(path="/x")
    good = Copy("good", lambda: None)
    run([good, failing(error), good], 1, tally)
    assert tally.summary() == Summary(2, 0, 0, 1, 0)
    assert heard.faults == [("broken", error)]
    assert isinstance(tally.outcome(), PathNotFoundError)


@pytest.mark.parametrize(
    ("error", "tried"),
    [
        (UnavailableError("gone"), False),
        (StorageFullError(), False),
        (WorkerLostError(), True),
        (InvalidPathError(), True),
    ],
)
def test_what_every_file_would_meet_ends_the_transfer(
    error: StorageError, tried: bool
) -> None:
    tally = Tally()
    ran = []
    copies = [failing(error), *[Copy("n", lambda: ran.append(1))] * 200]
    run(copies, 1, tally)
    assert bool(ran) == tried
    assert type(tally.outcome()) is type(error)


def test_the_tree_is_read_only_as_far_as_there_is_room() -> None:
    taken = 0
    gate = threading.Event()
    tally = Tally()
    jobs = 2

    def copies() -> Iterator[Copy]:
        nonlocal taken
        for _ in range(1_000):
            taken += 1
            yield Copy("n", lambda: gate.wait(10) and None)

    thread = threading.Thread(target=run, args=(copies(), jobs, tally))
    thread.start()
    most = jobs * WAITING_PER_JOB_MAX + 1
    deadline = time.monotonic() + 5
    while taken < most and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert taken == most
    gate.set()
    thread.join(10)
    assert tally.summary().files == 1_000


def test_at_most_so_many_run_at_once() -> None:
    lock = threading.Lock()
    now = most = 0

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1

    run([Copy("n", work)] * 40, 3, Tally())
    assert most == 3


def test_an_interrupt_stops_what_runs() -> None:
    tally = Tally()
    started = threading.Event()

    def endless() -> None:
        while True:
            started.set()
            tally.moved(1)
            time.sleep(0.001)

    def copies() -> Iterator[Copy]:
        yield Copy("endless", endless)
        started.wait(20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(copies(), 2, tally)
    with pytest.raises(CancelledError):
        tally.moved(1)
    assert tally.summary().failed == 0


def test_a_bug_is_raised_not_counted() -> None:
    with pytest.raises(ZeroDivisionError):
        run([failing(ZeroDivisionError())] * 3, 1, Tally())


def test_errors_of_the_local_file_are_typed() -> None:
    heard = Heard()
    tally = Tally(heard)
    run([failing(FileNotFoundError(2, "No such file"))], 1, tally)
    assert isinstance(heard.faults[0][1], PathNotFoundError)


@pytest.mark.parametrize("jobs", [0, -1, JOBS_MAX + 1])
def test_jobs_are_bounded(jobs: int) -> None:
    with pytest.raises(InvalidParameterError, match="jobs"):
        run([], jobs, Tally())


def test_the_outcome_is_of_the_common_class() -> None:
    tally = Tally()
    tally.skip("a", InvalidPathError())
    tally.skip("b", InvalidPathError())
    assert type(tally.outcome()) is InvalidPathError
    assert "2 skipped, 0 failed" in str(tally.outcome())
    tally.fail("c", PathNotFoundError())
    assert type(tally.outcome()) is StorageError


def test_names_are_printable() -> None:
    assert printable("plain name") == "plain name"
    assert printable(b"x\xff") == "x\\udcff"
    assert printable("a\nb") == "a\\nb"

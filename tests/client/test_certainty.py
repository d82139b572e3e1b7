"""client/certainty.py: moves and deletes whose answer was lost."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from scripted_transport import Script, Stream

from storagebus.broker.messages import Operation, Result
from storagebus.client import certainty
from storagebus.client.operations import Operations
from storagebus.client.waiting import run_now
from storagebus.drivers.errors import (
    BusyError,
    DeadlineExceededError,
    Executed,
    PathNotFoundError,
    StorageError,
    UnavailableError,
    WorkerLostError,
)

Step = tuple[Operation, Stream]


def answer(operation: Operation, end: StorageError | Result | None = None) -> Step:
    return operation, Stream(end=end)


def move(end: StorageError | None = None) -> Step:
    return answer(Operation.MOVE, end)


def delete(end: StorageError | None = None) -> Step:
    return answer(Operation.DELETE, end)


def there(size: int = 5) -> Step:
    return answer(Operation.STAT, Result(path="/x", size=size))


def gone() -> Step:
    return answer(Operation.STAT, PathNotFoundError())


def failed(operation: Operation, error: StorageError) -> Step:
    return answer(operation, error)


def lost() -> StorageError:
    return WorkerLostError("gone", executed=Executed.MAYBE)


def moving(*steps: Step) -> None:
    run(lambda operations: certainty.move(operations, "/a", "/b"), *steps)


def deleting(*steps: Step) -> None:
    run(lambda operations: certainty.delete(operations, "/a"), *steps)


def run(work: Callable[[Operations], Coroutine[Any, Any, None]], *steps: Step) -> None:
    transport = Script(*steps)
    try:
        run_now(work(Operations(transport, "default", 30.0)))
    finally:
        transport.close()  # all that was prepared was asked for


def test_what_is_answered_is_asked_once() -> None:
    moving(there(), move())
    deleting(delete())


def test_what_never_ran_is_repeated() -> None:
    never = BusyError(executed=Executed.NO)
    moving(there(), move(never), move())
    deleting(delete(never), delete())


def test_what_can_be_seen_to_be_done_is_done() -> None:
    moving(there(), move(lost()), gone(), there())
    deleting(delete(lost()), gone())


def test_what_can_be_seen_not_to_be_done_is_repeated() -> None:
    moving(there(), move(lost()), there(), move(lost()), there(), move())
    deleting(delete(lost()), there(), delete())


def test_a_repetition_that_comes_too_late_finds_it_done() -> None:
    # The worker that was taken for lost moved the object after all.
    moving(there(), move(lost()), there(), move(PathNotFoundError()), gone(), there())
    deleting(delete(lost()), there(), delete(PathNotFoundError()), gone())


@pytest.mark.parametrize("destination", [gone(), there(size=6)])
def test_what_cannot_be_told_may_have_run(destination: Step) -> None:
    with pytest.raises(WorkerLostError) as caught:
        moving(there(5), move(lost()), gone(), destination)
    assert caught.value.executed is Executed.MAYBE


def test_when_nobody_can_be_asked_it_may_have_run() -> None:
    unavailable = UnavailableError(temporary=False)
    with pytest.raises(WorkerLostError) as caught:
        deleting(delete(lost()), failed(Operation.STAT, unavailable))
    assert caught.value.executed is Executed.MAYBE


def test_a_deadline_is_the_end() -> None:
    late = DeadlineExceededError(executed=Executed.MAYBE)
    with pytest.raises(DeadlineExceededError):
        deleting(delete(late))


def test_without_a_source_nothing_is_moved() -> None:
    with pytest.raises(PathNotFoundError) as caught:
        moving(gone())
    assert caught.value.executed is Executed.NO
    with pytest.raises(PathNotFoundError):
        deleting(delete(PathNotFoundError()))

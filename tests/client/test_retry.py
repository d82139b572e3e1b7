"""client/retry.py: which failed operations are tried again, and after how long."""

from __future__ import annotations

import pytest

from storagebus.broker.messages import Operation
from storagebus.client.retry import (
    ATTEMPTS_MAX,
    PAUSE_S_MAX,
    SAFETY,
    TOKENS_BACK,
    TOKENS_MAX,
    TOKENS_MIN,
    Attempts,
    RetryBudget,
    Safety,
    can_help,
)
from storagebus.drivers.errors import (
    CODES,
    BusyError,
    DeadlineExceededError,
    Executed,
    PathNotFoundError,
    StorageFullError,
    ThrottledError,
    UnavailableError,
    WorkerLostError,
)

HOUR = 3_600.0


def test_every_operation_has_a_safety() -> None:
    assert set(SAFETY) == set(Operation)


@pytest.mark.parametrize("operation", [Operation.MOVE, Operation.DELETE])
def test_what_may_not_run_twice_is_repeated_only_when_it_never_ran(
    operation: Operation,
) -> None:
    def pause(executed: Executed) -> float | None:
        attempts = Attempts(SAFETY[operation], HOUR)
        return attempts.pause_s(WorkerLostError(executed=executed), 0.0, 0.5)

    assert pause(Executed.NO) is not None
    assert pause(Executed.MAYBE) is None
    assert pause(Executed.YES) is None


@pytest.mark.parametrize("operation", [Operation.STAT, Operation.PUT, Operation.READ])
def test_what_may_run_twice_is_repeated(operation: Operation) -> None:
    attempts = Attempts(SAFETY[operation], HOUR)
    assert attempts.pause_s(WorkerLostError(), 0.0, 0.5) == 0.0


@pytest.mark.parametrize("code", sorted(CODES))
def test_only_errors_that_may_pass_are_worth_a_retry(code: int) -> None:
    cls = CODES[code]
    worth = cls.default_temporary and cls is not DeadlineExceededError
    assert can_help(cls()) is worth
    attempts = Attempts(Safety.REPEATABLE, HOUR)
    assert (attempts.pause_s(cls(), 0.0, 0.0) is not None) is worth


def test_an_error_says_itself_whether_it_may_pass() -> None:
    assert can_help(StorageFullError(temporary=True))
    assert not can_help(UnavailableError(temporary=False))
    assert not can_help(PathNotFoundError())


def test_pauses_grow_to_a_bound_and_vary() -> None:
    pauses = []
    attempts = Attempts(Safety.REPEATABLE, HOUR)
    for _ in range(ATTEMPTS_MAX - 1):
        pause = attempts.pause_s(BusyError(), 0.0, 1.0)
        assert pause is not None
        pauses.append(pause)
    assert pauses == sorted(pauses)
    assert pauses[0] > 0
    assert pauses[-1] == PAUSE_S_MAX
    low = Attempts(Safety.REPEATABLE, HOUR).pause_s(BusyError(), 0.0, 0.0)
    assert low == pytest.approx(pauses[0] / 2)


def test_attempts_are_bounded_whatever_the_deadline() -> None:
    attempts = Attempts(Safety.REPEATABLE, float("inf"))
    allowed = 0
    while attempts.pause_s(UnavailableError(), 0.0, 0.0) is not None:
        allowed += 1
        assert allowed < 1_000
    assert allowed == ATTEMPTS_MAX - 1


def test_progress_counts_failures_anew() -> None:
    attempts = Attempts(Safety.REPEATABLE, HOUR)
    for _ in range(3 * ATTEMPTS_MAX):
        assert attempts.pause_s(WorkerLostError(), 0.0, 0.0) == 0.0
        attempts.progressed(HOUR)


def test_who_runs_out_of_time_says_what_the_time_went_for() -> None:
    attempts = Attempts(Safety.REPEATABLE, HOUR)
    late = DeadlineExceededError("put: no answer within 0.26 s")
    attempts.pause_s(ThrottledError("slow down"), 0.0, 0.0)
    attempts.pause_s(late, 1.0, 0.0)
    error = attempts.final(late)
    assert type(error) is DeadlineExceededError
    assert error.detail == (
        "put: no answer within 0.26 s; before, it met ThrottledError: slow down"
    )


def test_what_was_met_before_the_last_progress_is_no_reason() -> None:
    attempts = Attempts(Safety.REPEATABLE, HOUR)
    attempts.pause_s(UnavailableError(), 0.0, 0.0)
    attempts.progressed(HOUR)
    late = DeadlineExceededError("read: no answer within 30 s")
    attempts.pause_s(late, 1.0, 0.0)
    assert attempts.final(late).detail == "read: no answer within 30 s"


def test_what_the_store_says_about_the_time_counts() -> None:
    attempts = Attempts(Safety.REPEATABLE, HOUR)
    pause = attempts.pause_s(ThrottledError(retry_after_s=7.0), 0.0, 1.0)
    assert pause is not None
    assert 7.0 <= pause <= 10.5


def test_no_attempt_after_the_deadline() -> None:
    error = ThrottledError(retry_after_s=7.0)
    assert Attempts(Safety.REPEATABLE, 6.0).pause_s(error, 0.0, 0.0) is None
    assert Attempts(Safety.REPEATABLE, 8.0).pause_s(error, 0.0, 0.0) is not None
    assert Attempts(Safety.REPEATABLE, 8.0).pause_s(error, 1.0, 0.0) is None


def test_a_service_that_fails_at_everything_is_left_alone() -> None:
    budget = RetryBudget()

    def retries() -> int:
        attempts = Attempts(Safety.REPEATABLE, HOUR, budget)
        count = 0
        while attempts.pause_s(UnavailableError(), 0.0, 0.5) is not None:
            count += 1
        return count

    assert retries() == ATTEMPTS_MAX - 1
    total = ATTEMPTS_MAX - 1
    while more := retries():
        total += more
    assert total == int(TOKENS_MAX - TOKENS_MIN)
    assert budget.denied == 2  # the call that began with some, and the one with none


def test_successes_bring_retries_back() -> None:
    budget = RetryBudget()
    while budget.spend():
        pass
    needed = int(2 / TOKENS_BACK)
    for _ in range(needed):
        assert Attempts(Safety.REPEATABLE, HOUR, budget).budget is budget
        budget.succeeded()
    assert budget.spend()
    for _ in range(int(TOKENS_MAX / TOKENS_BACK)):
        budget.succeeded()
    assert budget.tokens == TOKENS_MAX


def test_who_was_told_when_to_come_back_needs_no_token() -> None:
    budget = RetryBudget()
    while budget.spend():
        pass
    told = BusyError(retry_after_s=0.2)
    assert Attempts(Safety.REPEATABLE, HOUR, budget).pause_s(told, 0.0, 0.0) == 0.2
    again = Attempts(Safety.REPEATABLE, HOUR, budget)
    assert again.pause_s(UnavailableError(), 0.0, 0.0) is None

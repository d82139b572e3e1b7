"""When an operation that failed is tried again, and after how long.

Pure. Whether a retry is safe depends on what the operation does and on whether the
failed attempt ran (`StorageError.executed`); whether it can help depends on the error.

| safety     | operations                                             | again when    |
|------------|--------------------------------------------------------|---------------|
| REPEATABLE | stat, list, walk, read, describe, redirect_url,        | it can help   |
|            | upload_status, status, obituary; a whole put; opening  |               |
|            | an upload                                              |               |
| ONCE       | move, delete, commit, drain                            | it can help   |
|            |                                                        | and never ran |

A put stores the same bytes again, and opening an upload changes nothing that can be
seen, so both may be repeated.

A service that fails at most calls is not helped by having each of them three times. So
all calls of a client to a service draw on one `RetryBudget`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ..broker.messages import Operation
from ..drivers.errors import (
    DeadlineExceededError,
    Executed,
    StorageError,
    ThrottledError,
)

ATTEMPTS_MAX = 24
"""Attempts of one operation, the first included."""
PAUSE_S_MIN = 0.02
PAUSE_S_MAX = 2.0
WORTHWHILE_S = 0.005
"""With less time than this left, another attempt is not worth its messages."""
TOKENS_MAX = 1_000.0
"""Tokens of a full budget; a failed attempt takes one."""
TOKENS_MIN = 500.0
"""With fewer tokens nothing is tried again."""
TOKENS_BACK = 0.1
"""Tokens that a success brings back: a service that fails gets a tenth more at most."""


class Safety(Enum):
    """Whether an operation may run twice."""

    REPEATABLE = "repeatable"
    ONCE = "once"


SAFETY: dict[Operation, Safety] = {
    Operation.DESCRIBE: Safety.REPEATABLE,
    Operation.STAT: Safety.REPEATABLE,
    Operation.LIST: Safety.REPEATABLE,
    Operation.WALK: Safety.REPEATABLE,
    Operation.READ: Safety.REPEATABLE,
    Operation.PUT: Safety.REPEATABLE,
    Operation.WRITE: Safety.REPEATABLE,
    Operation.MOVE: Safety.ONCE,
    Operation.DELETE: Safety.ONCE,
    Operation.REDIRECT_URL: Safety.REPEATABLE,
    Operation.UPLOAD_STATUS: Safety.REPEATABLE,
    Operation.STATUS: Safety.REPEATABLE,
    Operation.DRAIN: Safety.ONCE,
    Operation.OBITUARY: Safety.REPEATABLE,
}


class RetryBudget:
    """What the retries of all calls to one service may cost, as in gRPC's proposal A6.

    Threads share it without a lock: a token that is lost in a race does no harm.

    Attributes:
        tokens: what is left.
        denied: retries that there were no tokens for.
    """

    __slots__ = ("denied", "tokens")

    def __init__(self) -> None:
        self.tokens = TOKENS_MAX
        self.denied = 0

    @property
    def is_full(self) -> bool:
        """Whether a success has nothing to bring back."""
        return self.tokens >= TOKENS_MAX

    def succeeded(self) -> None:
        """The service has done what it was asked."""
        self.tokens = min(TOKENS_MAX, self.tokens + TOKENS_BACK)

    def spend(self) -> bool:
        """An attempt has failed that could be repeated; whether it may be."""
        self.tokens = max(0.0, self.tokens - 1.0)
        if self.tokens >= TOKENS_MIN:
            return True
        self.denied += 1
        return False


@dataclass(slots=True)
class Attempts:
    """The attempts of one operation.

    Args:
        safety: whether it may run twice.
        ends: when its deadline is, on the clock of `now`.
        budget: of its service.

    Attributes:
        failures: attempts that have failed since the last progress.
        may_have_run: whether one of those that failed may have run, or run yet.
        reason: what the last one met that failed before the time was over.
    """

    safety: Safety
    ends: float
    budget: RetryBudget = field(default_factory=RetryBudget)
    failures: int = 0
    may_have_run: bool = False
    reason: StorageError | None = None

    def pause_s(self, error: StorageError, now: float, chance: float) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        Args:
            error: why the last one failed.
            now: the present.
            chance: a random number from 0 to 1.
        """
        self.failures += 1
        if error.executed is not Executed.NO:
            self.may_have_run = True
        if not isinstance(error, DeadlineExceededError):
            self.reason = error
        if self.failures >= ATTEMPTS_MAX or not can_help(error):
            return None
        if self.safety is Safety.ONCE and error.executed is not Executed.NO:
            return None
        pause = self._backoff_s(error, chance)
        if now + pause + WORTHWHILE_S >= self.ends:
            return None
        # Who was told when to come back has waited his turn already.
        paced = error.retry_after_s is not None and error.executed is Executed.NO
        return pause if paced or self.budget.spend() else None

    def final(self, error: StorageError) -> StorageError:
        """The error that ends them: what it says of itself is said of them all.

        That the time was over for the last one says little; so it says too why there
        was more than one.
        """
        if self.may_have_run and error.executed is Executed.NO:
            error.executed = Executed.MAYBE
        if self.reason is not None and isinstance(error, DeadlineExceededError):
            met = f"{type(self.reason).__name__}: {self.reason.detail}".rstrip(": ")
            error.detail += f"; before, it met {met}"
        return error

    def progressed(self, ends: float) -> None:
        """A stream has moved on: what failed before does not count any more."""
        if not self.budget.is_full:
            self.budget.succeeded()
        self.failures = 0
        self.reason = None
        self.ends = ends

    def _backoff_s(self, error: StorageError, chance: float) -> float:
        told = error.retry_after_s
        if told is not None and told >= 0:
            return told * (1 + chance / 2)  # so that not all come back at once
        if self.failures == 1 and not isinstance(error, ThrottledError):
            return 0.0  # a lost worker or broker: another one may be there already
        most = min(PAUSE_S_MAX, PAUSE_S_MIN * (1 << min(self.failures, 16)))
        return most * (0.5 + chance / 2)


def can_help(error: StorageError) -> bool:
    """Whether the same operation may succeed when it is tried again."""
    return error.temporary and not isinstance(error, DeadlineExceededError)

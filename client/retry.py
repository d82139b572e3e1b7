"""When an operation that failed is tried again, and after how long.

Pure. Whether a retry is safe depends on what the operation does and on whether the
failed attempt ran (`StorageError.executed`); whether it can help depends on the error.

| safety     | operations                                             | again when    |
|------------|--------------------------------------------------------|---------------|
| REPEATABLE | stat, list, walk, read, describe, redirect_url,        | it can help   |
|            | upload_status, status; a whole put; opening an upload  |               |
| ONCE       | move, delete, commit, drain                            | it can help   |
|            |                                                        | and never ran |

A put stores the same bytes again, and opening an upload changes nothing that can be
seen, so both may be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
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
}


@dataclass(slots=True)
class Attempts:
    """The attempts of one operation.

    Args:
        safety: whether it may run twice.
        ends: when its deadline is, on the clock of `now`.

    Attributes:
        failures: attempts that have failed since the last progress.
    """

    safety: Safety
    ends: float
    failures: int = 0

    def pause_s(self, error: StorageError, now: float, chance: float) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        Args:
            error: why the last one failed.
            now: the present.
            chance: a random number from 0 to 1.
        """
        self.failures += 1
        if self.failures >= ATTEMPTS_MAX or not can_help(error):
            return None
        if self.safety is Safety.ONCE and error.executed is not Executed.NO:
            return None
        pause = self._backoff_s(error, chance)
        return pause if now + pause + WORTHWHILE_S < self.ends else None

    def progressed(self, ends: float) -> None:
        """A stream has moved on: what failed before does not count any more."""
        self.failures = 0
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

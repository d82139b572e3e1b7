"""Driver work: what a job is, how it is run, and how it ended.

The machines in `calls`, `downloads` and `uploads` make jobs and never run them; the
shell runs them, on a thread or inline, and gives back an `Outcome`.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Protocol

from ..drivers.contract import StorageDriver
from ..drivers.errors import (
    DeadlineExceededError,
    Executed,
    StorageError,
    UnavailableError,
)
from ..drivers.progress import Steps, counted
from ..drivers.standing import Standing, standing_on

Answer = dict[str, Any]
"""The map of a RESULT, before the times are added."""


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
        value: what it returned, if it did.
        error: what it raised, if it did.
        driver_us: microseconds that it took.
        ran: whether it was begun at all.
    """

    value: Any = None
    error: StorageError | None = None
    driver_us: int = 0
    ran: bool = True


class Job(Protocol):
    """Driver work, to be run once."""

    def run(self, driver: StorageDriver) -> Any:
        """Do it; may wait for as long as the driver does."""


def perform(
    job: Job,
    driver: StorageDriver,
    expires: float,
    steps: Steps | None = None,
    standing: Standing | None = None,
) -> Outcome:
    """Run a job, unless it is too late for it.

    Args:
        job: what to do.
        driver: the driver, behind its checks.
        expires: when it no longer may begin, on the monotonic clock, in seconds.
        steps: counts the driver's signs of progress.
        standing: what the operation stands on, if it can lose its caller to another.

    Returns:
        The outcome; whatever a driver raises is a `StorageError` in it. Only what
        means the end of the process (SystemExit, KeyboardInterrupt) is let through.
    """
    started = time.monotonic()
    if started >= expires:
        return Outcome(error=too_late(), ran=False)
    value: Any = None
    error: StorageError | None = None
    try:
        with counted(steps or Steps()), standing_on(standing):
            value = job.run(driver)
    except StorageError as failure:
        error = failure
    except MemoryError:
        error = UnavailableError("the worker has no memory left", driver=driver.name)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as failure:
        # The checked wrapper has typed all that it knows; what is left is a fault, or
        # the CancelledError of a driver that stands on asyncio.
        what = f"{type(failure).__name__}: {failure}"
        error = StorageError(what, driver=driver.name)
    return Outcome(value, error, int((time.monotonic() - started) * 1_000_000))


def too_late() -> StorageError:
    """The error of work that expired before it was begun."""
    return DeadlineExceededError(
        "the call's time ran out while it waited in the worker", executed=Executed.NO
    )

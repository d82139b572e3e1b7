"""Whether a driver's store can be used: asked before the worker joins a broker.

A bucket that is not there, or keys that are wrong, would else show in the first call of
a user, behind a bus that says it is ready. The store may also just be down for a while,
so no answer is final: see `worker.run_worker`.
"""

from __future__ import annotations

import threading

from ..drivers.contract import StorageDriver
from ..drivers.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    InvalidParameterError,
    InvalidStorageDriverError,
    StorageError,
    UnavailableError,
)

PATH = "/storagebus-probe"
"""Nobody stores it; that it is not found is the usual answer of a store that works."""
ANSWER_S_MAX = 15.0
"""Less than a manager waits for the start of a worker, see `conf.compose`."""
_UNUSABLE = (
    AccessDeniedError,
    DeadlineExceededError,
    InvalidParameterError,
    InvalidStorageDriverError,
    UnavailableError,
)
"""With anything else, even an error, the store has done something for us."""


class Probe:
    """Asks a driver for the `stat` of an object.

    Args:
        driver: the driver. A call that hangs stays behind on a thread, one at most.
    """

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver
        self._thread: threading.Thread | None = None
        self._error: StorageError | None = None

    def ask(self, seconds_max: float = ANSWER_S_MAX) -> StorageError | None:
        """Ask, or wait on for the answer to what was asked before.

        Args:
            seconds_max: how long to wait.

        Returns:
            Why the store cannot be used; None when it can.
        """
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._stat, name="storagebus-probe", daemon=True
            )
            self._thread.start()
        self._thread.join(seconds_max)
        if self._thread.is_alive():
            return DeadlineExceededError(
                f"the store has not answered within {seconds_max:g} s",
                driver=self._driver.name,
            )
        self._thread = None
        return self._error

    def _stat(self) -> None:
        self._error = None
        try:
            self._driver.stat(PATH)
        except _UNUSABLE as error:
            error.path = None  # it is about the store
            self._error = error
        except Exception:
            pass

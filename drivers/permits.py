"""How many disk calls of one driver may run at once (the parameter `maxthreads`)."""

from __future__ import annotations

import threading

from .errors import Executed, UnavailableError

WAIT_SECONDS_MAX = 30.0


class Permits:
    """A counting semaphore whose waits end.

    A permit is held for one call, or for one read or write of a stream, and never
    while another is waited for; so holders always finish and no wait can deadlock.
    Only a disk that hangs can use all permits up, and then callers are told.

    Args:
        count: calls at once.
        wait_seconds_max: longest wait for a permit.
    """

    def __init__(self, count: int, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self.count = count
        self._wait_seconds_max = wait_seconds_max
        self._free = threading.Semaphore(count)

    def __enter__(self) -> None:
        if not self._free.acquire(timeout=self._wait_seconds_max):
            raise UnavailableError(
                f"all {self.count} calls that maxthreads allows have been busy for "
                f"{self._wait_seconds_max:g} s; is the disk stuck?",
                executed=Executed.NO,
            )

    def __exit__(self, *_: object) -> None:
        self._free.release()

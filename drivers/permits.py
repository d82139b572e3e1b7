"""How many disk calls of one driver may run at once (the parameter `maxthreads`)."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from .errors import Executed, UnavailableError

WAIT_SECONDS_MAX = 30.0
COUNT_MAX = 10_000
"""More calls at once than this would need as many threads."""


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
        # A queue of permits takes a fifth of the time of a semaphore: it is not written
        # in Python. Each small read passes here twice.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(min(count, COUNT_MAX)):
            self._free.put(None)

    def __enter__(self) -> None:
        try:
            self._free.get(timeout=self._wait_seconds_max)
        except Empty:
            raise UnavailableError(
                f"all {self.count} calls that maxthreads allows have been busy for "
                f"{self._wait_seconds_max:g} s; is the disk stuck?",
                executed=Executed.NO,
            ) from None

    def __exit__(self, *_: object) -> None:
        self._free.put(None)

"""The lock of a driver that is one object in memory."""

from __future__ import annotations

import threading

from .refusals import closed


class Gate:
    """The driver's lock, which nobody passes any more once the driver is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._closed:
            self._lock.release()
            raise closed()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def close(self) -> bool:
        """Close it; whether it was open."""
        with self._lock:
            was_open, self._closed = not self._closed, True
        return was_open

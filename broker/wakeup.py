"""Waking a loop that sleeps in a poll, from another thread."""

from __future__ import annotations

import os


class Wakeup:
    """A descriptor that becomes readable when any thread calls `set`.

    Signals between two `clear`s collapse into one, so that a burst of events costs
    one system call.
    """

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_set = False
        self._closed = False

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._fd

    def set(self) -> None:
        """Wake the loop. Safe from any thread, and after `close`."""
        # Whoever finds the flag up may go: the owner lowers it in `clear`, before it
        # looks at its queues. The worst that a race does is one write too many.
        if not self._is_set and not self._closed:
            self._is_set = True
            os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Called by the loop when it is awake, before it looks at its queues."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            pass
        # Lowered only after the read: lowered before, a `set` between the two would
        # leave the flag up over an empty descriptor, and every later one be lost.
        self._is_set = False

    def close(self) -> None:
        """Give the descriptor back; no thread may be in `set` for the first time."""
        if not self._closed:
            self._closed = True
            os.close(self._fd)

"""One thread at a time in a stream, as with Python's own buffered files."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


class _Family:
    """Tells a process from the one that it was forked from, without a system call."""

    generation = 0

    @classmethod
    def forked(cls) -> None:
        """In the child."""
        cls.generation += 1


os.register_at_fork(after_in_child=_Family.forked)


def _nothing() -> None:
    """There is nothing to end any more."""


class Exclusive:
    """A context that one thread at a time is in.

    The thread that is in may enter again, as a signal's handler does that meets the
    stream in use.

    Args:
        end: frees what the stream holds; for `close`.
    """

    __slots__ = ("_closing", "_end", "_generation", "_lock")

    def __init__(self, end: Callable[[], None] = _nothing) -> None:
        self._lock = threading.RLock()
        self._generation = _Family.generation
        self._end = end
        self._closing = False

    def __enter__(self) -> None:
        if self._lock.acquire(blocking=False):
            return
        if self._generation != _Family.generation:
            # Whoever holds it is a thread of the parent, and not in this process.
            self._generation = _Family.generation
            self._lock = threading.RLock()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._closing:
            self.close()

    def close(self) -> None:
        """Free what the stream holds, as soon as no thread is in; waits for none.
        Harmless when repeated."""
        self._closing = True
        if self._lock.acquire(blocking=False):
            try:
                end, self._end = self._end, _nothing
                end()
            finally:
                self._lock.release()

"""Errands: what may hang, done by a thread in the place of one that has a deadline.

A thread that waits for a disk cannot be called back from the system call that it is in.
So whoever must not wait for ever sends another thread, and leaves it behind when the
time is over. They are daemons: a disk that hangs does not keep the process from ending.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..drivers.errors import BusyError, DeadlineExceededError, Executed

if TYPE_CHECKING:
    from concurrent.futures import Future

THREADS_MAX = 64
"""Threads that may hang at once; what comes after them waits, within its deadline."""
WAITING_MAX = 10_000
IDLE_S_MAX = 10.0
"""How long a thread stays without an errand."""

_T = TypeVar("_T")


class Errands:
    """Threads that are made when they are needed, and go when they are not."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forget all: a forked child has none of the threads."""
        self._news = threading.Condition()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._idle = 0
        self._threads = 0

    def begin(self, work: Callable[[], _T]) -> Future[_T]:
        """Have a thread do this.

        Raises:
            BusyError: too much waits already, since the threads hang.
        """
        from concurrent.futures import Future  # most programs never wait for a disk

        errand: Future[_T] = Future()
        with self._news:
            if len(self._waiting) >= WAITING_MAX:
                raise BusyError(
                    f"{THREADS_MAX} reads of files hang, and {WAITING_MAX} wait",
                    executed=Executed.NO,
                )
            self._waiting.append((errand, work))
            if self._idle >= len(self._waiting):
                self._news.notify()
            elif self._threads < THREADS_MAX:
                self._threads += 1
                threading.Thread(
                    target=self._serve, name="storagebus-errand", daemon=True
                ).start()
        return errand

    def run(self, work: Callable[[], _T], within_s: float) -> _T:
        """Have a thread do this, and wait for it; what it returns later is dropped.

        Args:
            work: what to do.
            within_s: seconds that are waited for it.

        Raises:
            DeadlineExceededError: it has not ended by then.
            BusyError: see `begin`.
        """
        errand = self.begin(work)
        try:
            return errand.result(within_s)
        except TimeoutError:
            if errand.done() and not errand.cancelled():
                return errand.result()  # it was the system that said so
            raise overdue(within_s) from None
        finally:
            errand.cancel()  # in case that it has not begun

    def _serve(self) -> None:
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        """Do one errand; False when there was none for long."""
        with self._news:
            if not self._waiting:
                self._idle += 1
                self._news.wait(IDLE_S_MAX)
                self._idle -= 1
            if not self._waiting:
                self._threads -= 1
                return False
            errand, work = self._waiting.popleft()
        if errand.set_running_or_notify_cancel():
            try:
                done = work()
            except BaseException as error:
                errand.set_exception(error)
            else:
                errand.set_result(done)
        return True


def overdue(within_s: float) -> DeadlineExceededError:
    """The error of a caller that waits no more."""
    return DeadlineExceededError(
        f"the file of the object gave nothing within {within_s:g} s",
        executed=Executed.NO,
    )


errands = Errands()
"""Of this process."""

os.register_at_fork(after_in_child=errands.renew)

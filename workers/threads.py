"""The threads on which the driver works, beside the protocol's loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from ..broker.wakeup import Wakeup
from ..drivers.contract import StorageDriver
from .jobs import Outcome
from .schedule import Task

THREADS_NAME = "storagebus-driver"


class Threads:
    """A pool that grows to as many threads as there were tasks at once.

    The machine hands over no more tasks than there are slots, which bounds threads
    and queue. The threads are daemons: a driver call that never returns must not keep
    the process from ending.

    Args:
        driver: the driver, behind its checks.
        wakeup: set when there is an outcome.
        run: does a task's job in the calling thread.

    Attributes:
        done: outcomes, for the loop to take; in place of an outcome, an exception
            that is meant to end the process.
    """

    def __init__(
        self,
        driver: StorageDriver,
        wakeup: Wakeup,
        run: Callable[[Task, StorageDriver], Outcome] = Task.run,
    ) -> None:
        self.done: deque[tuple[Task, Outcome | BaseException]] = deque()
        self._driver = driver
        self._wakeup = wakeup
        self._run = run
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._threads = 0
        self._busy = 0
        self._busy_most = 0

    def start(self, task: Task) -> None:
        """Have a task run. Called by the loop only."""
        self._engage()
        self._tasks.put(task)
        if self._busy > self._threads:
            self._threads += 1
            name = f"{THREADS_NAME}-{self._threads}"
            threading.Thread(target=self.work, name=name, daemon=True).start()

    def adopt(self) -> None:
        """A thread of the loop's that is in a task will come to `give` and `work`.
        Called by the loop only."""
        self._engage()
        self._threads += 1

    def attempt(self, task: Task) -> Outcome | BaseException:
        """Run a task in the calling thread; what is meant to end the process comes
        back as an exception."""
        try:
            return self._run(task, self._driver)
        except BaseException as error:
            return error

    def give(self, task: Task, outcome: Outcome | BaseException) -> None:
        """An outcome for the loop to take, from any thread."""
        self.done.append((task, outcome))
        self._wakeup.set()

    def work(self) -> None:
        """Be one of the pool; called by a thread that was adopted, too, when it has
        given its outcome in."""
        while (task := self._tasks.get()) is not None:
            self.give(task, self.attempt(task))
            # While the thread waits it must hold nothing: a task has the bytes of its
            # stream, perhaps a whole segment of memory.
            del task

    def take(self, most: int) -> list[tuple[Task, Outcome]]:
        """Outcomes that have come in. Called by the loop only.

        Raises:
            BaseException: what a driver raised to end the process.
        """
        taken: list[tuple[Task, Outcome]] = []
        while self.done and len(taken) < most:
            task, outcome = self.done.popleft()
            self._release()
            if isinstance(outcome, BaseException):
                raise outcome
            taken.append((task, outcome))
        return taken

    def stop(self) -> None:
        """Let the threads end when they have nothing more to do."""
        for _ in range(self._threads):
            self._tasks.put(None)

    def _engage(self) -> None:
        self._busy += 1
        self._busy_most = max(self._busy_most, self._busy)

    def _release(self) -> None:
        """A task has ended; a thread more than there were ever tasks, which was the
        loop's, is let go."""
        self._busy -= 1
        if self._threads > self._busy_most:
            self._threads -= 1
            self._tasks.put(None)

"""Which driver work runs next: the bounded queue in front of the threads. Pure.

Calls, opens and commits are small work; reads and writes of a stream's bytes are
bulk. Small work goes first, but not for ever, and bulk never holds all threads: a
`stat` must not wait for a hundred uploads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from ..drivers.contract import StorageDriver
from ..drivers.errors import StorageError
from ..drivers.progress import Steps
from ..drivers.standing import Standing
from .jobs import Job, Outcome, perform

SMALL_IN_A_ROW_MAX = 16
"""Small jobs that may start one after another while bulk waits."""


class Owner(Protocol):
    """Whose a task can be: a stream, or a call that came by a lane."""

    link: int
    id: int
    operation: int
    steps: Steps
    standing: Standing | None

    def finished(self, task: Task, outcome: Outcome, now: float) -> None:
        """The task has ended."""

    def fail(self, error: StorageError, now: float) -> None:
        """What it returned cannot be sent."""


class Task:
    """One job of one stream, waiting or running.

    Attributes:
        stream: whose it is.
        job: what to do.
        expires: when it may no longer begin; infinity for what must be done.
        bulk: whether it moves a stream's bytes.
        asked: when it was queued.
        started: when it was handed to a thread; None while it waits.
        withdrawn: whether it was given up while it waited.
    """

    __slots__ = ("asked", "bulk", "expires", "job", "started", "stream", "withdrawn")

    def __init__(
        self, stream: Owner, job: Job, expires: float, bulk: bool, asked: float
    ) -> None:
        self.stream = stream
        self.job = job
        self.expires = expires
        self.bulk = bulk
        self.asked = asked
        self.started: float | None = None
        self.withdrawn = False

    def run(self, driver: StorageDriver) -> Outcome:
        """Do the job, in the calling thread."""
        stream = self.stream
        return perform(self.job, driver, self.expires, stream.steps, stream.standing)


class Schedule:
    """The queue.

    A stream has one task at a time, so that the streams admitted bound the queue.

    Args:
        slots: tasks that may run at once.

    Attributes:
        running: tasks that have been handed to threads.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.running: set[Task] = set()
        self._small: deque[Task] = deque()
        self._bulk: deque[Task] = deque()
        self._bulk_running = 0
        self._bulk_max = max(1, slots - 1)
        self._in_a_row = 0

    def __len__(self) -> int:
        """Tasks that wait, withdrawn ones included."""
        return len(self._small) + len(self._bulk)

    def add(self, task: Task) -> None:
        """Queue a task."""
        (self._bulk if task.bulk else self._small).append(task)

    def withdraw(self, task: Task) -> bool:
        """Give a task up; False when it runs already."""
        if task.started is not None:
            return False
        task.withdrawn = True
        return True

    def next(self, now: float) -> Task | None:
        """The task to start now, which from then on runs; None when there is none,
        or no thread for it."""
        while len(self.running) < self.slots:
            queue = self._choose()
            if queue is None:
                return None
            task = queue.popleft()
            if task.withdrawn:
                continue
            task.started = now
            self.running.add(task)
            if task.bulk:
                self._bulk_running += 1
                self._in_a_row = 0
            else:
                self._in_a_row += 1
            return task
        return None

    def ended(self, task: Task) -> None:
        """A task has run."""
        self.running.discard(task)
        if task.bulk:
            self._bulk_running -= 1

    def expired(self, now: float) -> Iterator[Task]:
        """Take out the waiting tasks that may no longer begin."""
        for queue in (self._small, self._bulk):
            late = [task for task in queue if task.withdrawn or task.expires <= now]
            for task in late:
                queue.remove(task)
            for task in late:
                if not task.withdrawn:
                    yield task

    def oldest_s(self, now: float) -> float:
        """Age of the oldest task that runs, in seconds; 0 when none does."""
        starts = [task.started for task in self.running if task.started is not None]
        return now - min(starts) if starts else 0.0

    def _choose(self) -> deque[Task] | None:
        bulk_may = self._bulk and self._bulk_running < self._bulk_max
        if self._small and not (bulk_may and self._in_a_row >= SMALL_IN_A_ROW_MAX):
            return self._small
        return self._bulk if bulk_may else None

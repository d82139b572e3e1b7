"""The helm: one thread at a time drives the loop, and never one that a driver holds up.

The thread at the helm runs quick jobs itself. A lookout sees it when one of them takes
too long, and gives the helm to a new thread: the loop goes on, and the thread that is
held up becomes one of the pool's when the driver lets go. So a stuck disk silences the
loop for some milliseconds, and a job that is as quick as expected costs no wake-up.

A job that waits for a processor only, on a machine that is busy, keeps the
helm for longer: another thread would wait for the same.

The loop's sockets and state wander from thread to thread with the helm. That is safe
because a thread touches them only while it has the helm, loses it only in the middle
of a job, which touches none of them, and takes a lock before it goes on after one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .effort import could_run
from .schedule import Task

LOOK_S = 0.005
"""Time between two looks; a job that is seen twice has taken at least so long."""
BUSY_LOOKS_MAX = 20
"""Looks after which a job loses the helm although nothing holds it up but work."""
IDLE_LOOKS_MAX = 100
"""Looks without a job after which the lookout sleeps until there is one."""
THREADS_NAME = "storagebus-loop"
LOOKOUT_NAME = "storagebus-lookout"


class Helm:
    """The right to drive the loop.

    Args:
        drive: drives the loop until it has ended, or until this thread has lost the
            helm; told the operation that holds up the thread that had it before, if one
            does. (Not the job: that would be kept for as long as the thread drives.)

    Attributes:
        changes: how often the helm was given to another thread.
    """

    def __init__(self, drive: Callable[[int | None], None]) -> None:
        self.changes = 0
        self._drive = drive
        self._lock = threading.Lock()
        self._task: Task | None = None
        self._pilot = 0
        self._jobs = 0
        self._alarm = threading.Event()
        self._looking = False
        self._ended = False

    def start(self) -> None:
        """Have a first thread drive the loop."""
        self._man(None)
        threading.Thread(target=self._look, name=LOOKOUT_NAME, daemon=True).start()

    def stop(self) -> None:
        """Let the lookout go. Harmless when repeated."""
        self._ended = True
        self._alarm.set()

    def leave(self, task: Task) -> None:
        """Called at the helm: this thread now runs a job, and must be looked after."""
        self._jobs += 1
        self._task = task
        if not self._looking:
            self._looking = True
            self._alarm.set()

    def back(self, task: Task) -> bool:
        """Called after the job: whether this thread still has the helm."""
        with self._lock:
            if self._task is not task:
                return False
            self._task = None
            return True

    def _man(self, held: int | None) -> None:
        threading.Thread(
            target=self._steer, args=(held,), name=THREADS_NAME, daemon=True
        ).start()

    def _steer(self, held: int | None) -> None:
        self._pilot = threading.get_native_id()
        self._drive(held)

    def _look(self) -> None:
        """The lookout's work."""
        seen, jobs, idle, busy = None, 0, 0, 0
        while not self._ended:
            time.sleep(LOOK_S)
            task = self._task
            if task is None or task is not seen:
                busy = 0
            elif could_run(self._pilot) and busy < BUSY_LOOKS_MAX:
                busy += 1
            else:
                self._hand_over(task)
            seen = task
            idle = 0 if self._jobs != jobs else idle + 1
            jobs = self._jobs
            if idle > IDLE_LOOKS_MAX:
                self._rest()
                idle = 0

    def _hand_over(self, task: Task) -> None:
        """Give the helm to a new thread, unless the job has ended meanwhile."""
        with self._lock:
            if self._task is not task:
                return
            self._task = None
            try:
                self._man(task.stream.operation)
            except RuntimeError:
                self._task = task  # no thread is to be had; at the next look, perhaps
            else:
                self.changes += 1

    def _rest(self) -> None:
        """Sleep until there is a job to look after."""
        self._alarm.clear()
        self._looking = False
        # A job that began before this line raised no alarm; one that begins later does.
        if self._task is None and not self._ended:
            self._alarm.wait()
        self._looking = True

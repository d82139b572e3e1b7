"""Virtual time: what happens next, and the application's tasks.

One heap of events decides the order of everything. Events of one moment go in the
order in which they were asked for, so that a run depends on nothing but its seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine, Generator
from itertools import count
from typing import Any

STEPS_MAX = 2_000_000
"""Events of one run; more are a loop that does not end."""


class Loop:
    """The heap.

    Attributes:
        now: seconds since the start of the world.
        after_step: called after every event.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.after_step: Callable[[], None] = lambda: None
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    def after(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        """Have something happen after so many seconds."""
        self.at(self.now + delay_s, act, *args)

    def at(self, moment: float, act: Callable[..., None], *args: Any) -> None:
        """Have something happen at a moment; the past means now."""
        event = max(moment, self.now), next(self._order), act, args
        heapq.heappush(self._events, event)

    def run(self, until: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Let everything happen up to a moment, or until it is enough."""
        events = self._events
        while events and events[0][0] <= until and not enough():
            moment, _, act, args = heapq.heappop(events)
            self.now = moment
            self.steps += 1
            if self.steps > STEPS_MAX:
                raise AssertionError(f"more than {STEPS_MAX} events")
            act(*args)
            self.after_step()
        if not enough():
            self.now = max(self.now, until)


class Pause:
    """What a task waits for: somebody calls `wake`."""

    __slots__ = ("_task", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._task: Task | None = None

    def wake(self) -> None:
        """End the wait, or the next one at once."""
        self.is_set = True
        task, self._task = self._task, None
        if task is not None:
            task.ready()

    def __await__(self) -> Generator[Pause, None, None]:
        while not self.is_set:
            yield self
        self.is_set = False

    def hold(self, task: Task) -> None:
        """This task waits."""
        self._task = task


class Task:
    """A coroutine of an application, run by the loop.

    Args:
        work: the coroutine.
        soon: has something done soon, in the process that the task belongs to.
        ended: told when it has ended; an exception is let through.
    """

    def __init__(
        self,
        work: Coroutine[Pause, None, None],
        soon: Callable[[Callable[[], None]], None],
        ended: Callable[[Task], None],
    ) -> None:
        self._work = work
        self._soon = soon
        self._ended = ended
        self._is_over = False
        self.ready()

    def ready(self) -> None:
        """It can go on."""
        self._soon(self._step)

    def kill(self) -> None:
        """Its process has died: it never goes on."""
        self._is_over = True
        self._work.close()

    def _step(self) -> None:
        if self._is_over:
            return
        try:
            pause = self._work.send(None)
        except StopIteration:
            self._is_over = True
            self._ended(self)
            return
        if pause.is_set:
            self.ready()
        else:
            pause.hold(self)

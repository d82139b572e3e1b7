"""How a driver shows that a long operation moves on.

A deadline bounds how long a caller waits. Deleting a million objects or copying a
terabyte may rightly take longer, a backend that hangs may not, and from outside both
look alike. So a driver calls `step` for every part of such work that is done: a batch
of keys, a copied piece. A worker counts the steps and tells the caller, whose wait
begins anew with each. An operation without steps ends at the deadline.

To be called in the thread that runs the operation. In a process that does not count,
it does nothing.
"""

from __future__ import annotations

import threading


class Steps:
    """A count of steps: one thread raises it, any thread reads it.

    Attributes:
        done: how many there were.
    """

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = 0


class _Current(threading.local):
    steps: Steps | None = None


_current = _Current()


def step() -> None:
    """A part of the operation in this thread is done."""
    steps = _current.steps
    if steps is not None:
        steps.done += 1


class counted:
    """A `with` block in which the steps of this thread are counted.

    Args:
        steps: where.
    """

    __slots__ = ("_before", "_steps")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __enter__(self) -> None:
        self._before = _current.steps
        _current.steps = self._steps

    def __exit__(self, *_: object) -> None:
        _current.steps = self._before

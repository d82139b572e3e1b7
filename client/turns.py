"""Turns: no more large copies at once than there are processors.

A read of a file that is in memory is nothing but a copy. Eight threads that copy on two
cores gain nothing by it, and whoever has something short to do waits behind them all: a
small call then takes a time slice of each. So threads take turns, and one that waits
for its turn is in nobody's way.
"""

from __future__ import annotations

import os
from queue import Empty, SimpleQueue
from types import TracebackType

TURN_S_MAX = 0.05
"""How long a turn is waited for: who has it may have been held up."""
LARGE_BYTES = 262_144
"""Copies from this size on take turns."""


class Turns:
    """A bounded number of turns, for all threads of a process.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._free: SimpleQueue[None] = SimpleQueue()
        self.renew()

    def renew(self) -> None:
        """All are free: a forked child has none of the threads that have one."""
        self._free = SimpleQueue()
        for _ in range(self._count):
            self._free.put(None)

    def take(self) -> Turn:
        """A turn, or none when that would take too long; a `with` block has it."""
        try:
            self._free.get(timeout=TURN_S_MAX)
        except Empty:
            return Turn(None)
        return Turn(self._free)


class Turn:
    """A turn that was taken, to be given back."""

    __slots__ = ("_free",)

    def __init__(self, free: SimpleQueue[None] | None) -> None:
        self._free = free

    def __enter__(self) -> None:
        """It is taken already."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._free is not None:
            self._free.put(None)


copies = Turns(os.cpu_count() or 1)
"""Of this process."""

os.register_at_fork(after_in_child=copies.renew)

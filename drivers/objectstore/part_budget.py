"""One bound on the memory of all parts, in all streams of a driver.

A part is reserved whole before it is filled. So whoever has begun a part can finish
and send it, whatever others do; nobody waits for memory while holding a part that
needs more. A wait ends after a bounded time, and the caller then does without memory
(`part_buffer` goes to disk, a read is not prefetched).

Buffers of parts are used again while any are in use. Left to the allocator, a few
hundred of them freed by many threads leave it twice the budget in fragments.
"""

from __future__ import annotations

import os
import threading
from collections import deque


class PartBudget:
    """A count of bytes that many streams draw from, first come, first served.

    Args:
        bytes_max: bytes that may be reserved at once.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._begin()

    def _begin(self) -> None:
        """Nothing is reserved. In a forked child, too: streams stay with the parent,
        and a lock that was held at the fork would stay locked for ever."""
        self._pid = os.getpid()
        self._reserved_bytes = 0
        self._peak_bytes = 0
        self._spare: list[bytearray] = []
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def reserved_bytes(self) -> int:
        """Bytes reserved now."""
        return self._reserved_bytes

    @property
    def peak_bytes(self) -> int:
        """Most bytes that were ever reserved at once."""
        return self._peak_bytes

    def reserve(self, count: int, wait_seconds_max: float = 0.0) -> bool:
        """Reserve memory for a whole part.

        Args:
            count: bytes; more than `bytes_max` are refused at once.
            wait_seconds_max: how long to wait for others to release theirs.

        Returns:
            Whether the bytes are reserved now; if so, `release` them once.
        """
        if count > self.bytes_max:
            return False
        if self._pid != os.getpid():
            self._begin()
        with self._changed:
            turn = object()
            self._waiting.append(turn)
            try:
                if not self._changed.wait_for(
                    lambda: self._may_have(turn, count), wait_seconds_max
                ):
                    return False
                self._reserved_bytes += count
                self._drop_spare(count)
                self._peak_bytes = max(self._peak_bytes, self._reserved_bytes)
                return True
            finally:
                self._waiting.remove(turn)
                # The next in line may fit into what is left.
                self._changed.notify_all()

    def release(self, count: int) -> None:
        """Give back what was reserved."""
        if self._pid != os.getpid():
            return  # reserved by the process that this one was forked from
        with self._changed:
            self._reserved_bytes -= count
            if not self._reserved_bytes:
                self._spare.clear()
            self._changed.notify_all()

    def take_buffer(self, count: int) -> bytearray:
        """A buffer of `count` bytes, which are reserved; what it holds is chance."""
        with self._changed:
            if self._spare and len(self._spare[-1]) == count:
                return self._spare.pop()
        return bytearray(count)

    def return_buffer(self, buffer: bytearray) -> None:
        """Give a buffer back for others; before its bytes are released."""
        with self._changed:
            if self._spare and len(self._spare[-1]) != len(buffer):
                self._spare.clear()
            self._spare.append(buffer)

    def _drop_spare(self, count: int) -> None:
        """Keep no buffers beyond what the budget has left, but for the next one."""
        free = self.bytes_max - self._reserved_bytes + count
        while self._spare and len(self._spare) * len(self._spare[-1]) > free:
            self._spare.pop()

    def _may_have(self, turn: object, count: int) -> bool:
        free = self.bytes_max - self._reserved_bytes
        return self._waiting[0] is turn and count <= free

"""The bytes of one part while they are gathered: in memory, or else on disk."""

from __future__ import annotations

import tempfile
from typing import IO

from .part_budget import PartBudget

STARTER_BYTES_MAX = 64 << 10
"""Gathered before any budget is asked for, so that small objects need none."""
MEMORY_WAIT_SECONDS_MAX = 1.0
"""Slow producers may hold all of the budget; a stream then goes to disk instead."""

_Buffer = bytes | bytearray | memoryview


class PartBuffer:
    """Gathers up to a part's worth of bytes.

    The first bytes are held as they are. Beyond `STARTER_BYTES_MAX` the whole part is
    reserved from the budget; where that cannot be had in time, the part is written to
    an unnamed temporary file, so that a stream never waits for another one's producer.

    Args:
        budget: shared by all streams.
        bytes_max: bytes of the whole part.
    """

    def __init__(self, budget: PartBudget, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._budget = budget
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._reserved_bytes = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return self.bytes_max - self._size

    @property
    def on_disk(self) -> bool:
        """Whether the bytes are in a temporary file."""
        return self._file is not None

    def append(self, data: _Buffer) -> None:
        """Add bytes, at most `room`; they are copied."""
        if self._file is None and not self._fits(len(data)):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open until close
            self._file.write(memoryview(self._memory)[: self._size])
            self._memory = bytearray()
        end = self._size + len(data)
        if self._file is not None:
            self._file.write(data)
        elif end <= len(self._memory):
            self._memory[self._size : end] = data
        else:
            self._cut()
            self._memory += data
        self._size = end

    def body(self) -> bytearray | IO[bytes]:
        """The bytes, as an SDK sends them; valid until `close`."""
        if self._file is None:
            self._cut()
            return self._memory
        self._file.seek(0)
        return self._file

    def content(self) -> bytes:
        """A copy of the bytes."""
        if self._file is None:
            return bytes(memoryview(self._memory)[: self._size])
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Give the memory back. Harmless when repeated."""
        memory, self._memory = self._memory, bytearray()
        self._size = 0
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._reserved_bytes:
            if len(memory) == self.bytes_max:
                self._budget.return_buffer(memory)
            self._budget.release(self._reserved_bytes)
            self._reserved_bytes = 0

    def _fits(self, more: int) -> bool:
        """Whether the bytes may be held in memory; reserves the part if need be."""
        if self._reserved_bytes or self._size + more <= STARTER_BYTES_MAX:
            return True
        if not self._budget.reserve(self.bytes_max, MEMORY_WAIT_SECONDS_MAX):
            return False
        self._reserved_bytes = self.bytes_max
        whole = self._budget.take_buffer(self.bytes_max)
        whole[: self._size] = self._memory
        self._memory = whole
        return True

    def _cut(self) -> None:
        """Leave out what lies behind the bytes, for good."""
        del self._memory[self._size :]

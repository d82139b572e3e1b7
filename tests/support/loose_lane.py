"""A memory lane that no side socket has handed over, with both of its ends."""

from __future__ import annotations

import mmap
import socket

from storagebus.broker.bell import Bell
from storagebus.broker.memorylane import MemoryLane
from storagebus.broker.segment import Segment


class Lane(MemoryLane):
    """A lane without a descriptor, and its client, who knows whether it was let go.

    Attributes:
        client: the other end's bell.
    """

    closed = False

    def __init__(self, size: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        super().__init__(Segment(mmap.mmap(-1, size)), Bell(theirs))
        self.client = Bell(ours)

    def close(self) -> None:
        self.closed = True
        self.bell.close()

"""The memory of a lane: made and sealed by the worker, examined by the client.

Who maps memory that another can shorten is killed by SIGBUS when it touches what is
gone. The seals, which nobody can take off again, make that impossible; so the side
that did not make a segment maps it only after it has seen them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat

from ..drivers.errors import ProtocolError
from .wire import LANE_BYTES_MAX

_SEAL_FUTURE_WRITE = 0x0010
"""Linux 5.1; not in Python's table yet."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_NAME = "storagebus-lane"


class Segment:
    """Shared memory that one side fills and the other reads, as a ring.

    Args:
        memory: the mapping.

    Attributes:
        memory: the same.
        view: its bytes; offset `n` of the stream lies at `n % size`.
        size: how many they are.
    """

    __slots__ = ("memory", "size", "view")

    def __init__(self, memory: mmap.mmap) -> None:
        self.memory = memory
        self.size = len(memory)
        self.view = memoryview(memory)

    def part(self, offset: int, count: int) -> memoryview:
        """The bytes at an offset of the stream, without a copy.

        Raises:
            ProtocolError: they would pass the end of the segment.
        """
        at = offset % self.size
        if at + count > self.size:
            raise ProtocolError(f"{count} bytes at {at} of a lane of {self.size}")
        return self.view[at : at + count]

    def room(self, offset: int) -> int:
        """Bytes from an offset of the stream to the end of the segment."""
        return self.size - offset % self.size

    def close(self) -> None:
        """Give the memory back, as soon as nobody holds a part of it any more."""
        try:
            self.view.release()
            self.memory.close()
        except BufferError:
            pass  # the mapping goes with the last part


def make_segment(size: int, *, writable: bool) -> tuple[Segment, int]:
    """New memory, allocated and sealed, and the descriptor to hand over.

    Args:
        size: bytes.
        writable: whether the other side may write, as well as this one.

    Raises:
        OSError: there is no memory, or the system has no such thing.
    """
    fd = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        # All of it now: later, a lack of memory would be a SIGBUS.
        os.posix_fallocate(fd, 0, size)
        memory = mmap.mmap(fd, size)
        seals = _SEALS if writable else _SEALS | _SEAL_FUTURE_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return Segment(memory), fd


def map_segment(fd: int, size: int, *, writable: bool) -> Segment:
    """The other side's memory, once it is certain that nobody can take it away.

    Args:
        fd: the descriptor; stays open and is the caller's.
        size: bytes that it must have.
        writable: whether to write into it, or to read.

    Raises:
        ProtocolError: it is not what PROTOCOL.md section 9.1 says.
    """
    if not 0 < size <= LANE_BYTES_MAX:
        raise ProtocolError(f"a lane of {size} bytes")
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            raise ProtocolError(f"a lane's segment is no memory of {size} bytes")
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise ProtocolError("a lane's segment is not sealed")
        # Huge pages can run out, which would be a SIGBUS.
        if os.fstatvfs(fd).f_bsize != mmap.PAGESIZE or status.st_blocks * 512 < size:
            raise ProtocolError("a lane's segment is not of allocated, ordinary pages")
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return Segment(mmap.mmap(fd, size, access=access))
    except OSError as error:
        raise ProtocolError(f"a lane's segment: {error.strerror}") from error

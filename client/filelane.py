"""A stream that is read from the worker's file itself.

The worker has handed over a descriptor and is needed no more: not for the bytes, and
not to stay alive.
"""

from __future__ import annotations

import errno
import os
import threading

from ..broker.lanes import Descriptor
from ..drivers.contract import FileRange
from ..drivers.errors import DataLossError, InvalidStateError
from ..drivers.oserrors import from_os_error
from .memoryfs import is_in_memory
from .turns import LARGE_BYTES, copies

CALL_BYTES_MAX = 1 << 30
"""What one system call is asked for."""


class _File:
    """A descriptor that one thread at a time reads from, with this as its context.

    Who closes it does not wait for a read, which may hang on a disk: it is closed when
    that has ended. Before, its number must not become another file's.
    """

    __slots__ = ("_closed", "_file", "_lock", "_path")

    def __init__(self, file: Descriptor, path: str) -> None:
        self._file = file
        self._path = path
        self._lock = threading.Lock()
        self._closed = False

    @property
    def is_busy(self) -> bool:
        """Whether somebody reads from it."""
        return self._lock.locked()

    def fileno(self) -> int:
        """The descriptor's number.

        Raises:
            InvalidStateError: it is closed.
        """
        if self._closed:
            raise InvalidStateError("the reader is closed", path=self._path)
        return self._file.fileno()

    def close(self) -> None:
        """Close it, now or soon. Harmless when repeated."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._file.close()
            finally:
                self._lock.release()

    def __enter__(self) -> int:
        self._lock.acquire()
        try:
            return self.fileno()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._closed:  # by somebody who found it in use
            self.close()


class FileLane:
    """The bytes of a file from one offset to another, in order.

    Args:
        file: a descriptor for reading, which this closes.
        start: where to begin.
        end: where to end.
        path: the object, for errors.

    Attributes:
        in_memory: whether no read waits for a disk.
    """

    def __init__(self, file: Descriptor, start: int, end: int, path: str) -> None:
        self._file = _File(file, path)
        self._start = start
        self._at = start
        self._end = end
        self._path = path
        self.in_memory = is_in_memory(file.fileno())
        self._probe = bytearray(1)
        os.lseek(file.fileno(), start, os.SEEK_SET)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)

    @property
    def is_busy(self) -> bool:
        """Whether another thread is reading."""
        return self._file.is_busy

    @property
    def left(self) -> int:
        """Bytes that are still to be read."""
        return self._end - self._at

    def range(self) -> FileRange:
        """Where the stream lies in the file, from its beginning.

        Raises:
            InvalidStateError: it is closed.
        """
        return FileRange(self._file.fileno(), self._start, self._end)

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer only at the end; a negative size reads all. When it
        fails, nothing was taken.

        Raises:
            DataLossError: the file has become shorter.
            StorageError: the system could not read it.
        """
        with self._file as fd:
            wanted = self.left if size < 0 else min(size, self.left)
            data = self._read(fd, 0, wanted) if wanted else b""
            if len(data) < wanted:
                pieces, got = [data], len(data)
                while got < wanted:
                    pieces.append(self._read(fd, got, wanted - got))
                    got += len(pieces[-1])
                data = b"".join(pieces)
            self._at += wanted
            return data

    def readinto(self, view: memoryview) -> int:
        """Fill memory, all of it but at the end; errors as in `read`."""
        with self._file as fd:
            count = self._fill(fd, view)
            self._at += count
            return count

    def peek_into(self, view: memoryview) -> int:
        """As `readinto`, but the bytes stay to be read until `skip`."""
        with self._file as fd:
            return self._fill(fd, view)

    def skip(self, count: int) -> None:
        """Leave out bytes, at most what is left."""
        self._at += count

    def read_now(self, view: memoryview) -> int:
        """As `readinto`, but only what is in memory already; 0 when nothing is, or
        another thread is reading."""
        if self._file.is_busy:
            return 0
        with self._file as fd:
            part = view[: self.left]
            try:
                count = os.preadv(fd, [part], self._at, os.RWF_NOWAIT)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP or not self.in_memory:
                    return 0  # not in memory, or this file system cannot tell
                count = os.preadv(fd, [part], self._at)
            self._at += count
            return count

    def read_at_once(self, size: int) -> bytes:
        """As `read`, of a file in memory, and without waiting for a turn."""
        with self._file as fd:
            data = os.pread(fd, min(size, self.left), self._at)
            self._check(len(data), self._at)
            self._at += len(data)
            return data

    def close(self) -> None:
        """Close the file; waits for nobody. Harmless when repeated."""
        self._file.close()

    def _fill(self, fd: int, view: memoryview) -> int:
        wanted = min(len(view), self.left)
        got = 0
        while got < wanted:
            part = view[got : min(wanted, got + CALL_BYTES_MAX)]
            try:
                if self._takes_turns(fd, self._at + got, len(part)):
                    with copies.take():
                        count = os.preadv(fd, [part], self._at + got)
                else:
                    count = os.preadv(fd, [part], self._at + got)
            except OSError as error:
                raise from_os_error(error, self._path) from error
            self._check(count, self._at + got)
            got += count
        return wanted

    def _read(self, fd: int, ahead: int, size: int) -> bytes:
        at = self._at + ahead
        size = min(size, CALL_BYTES_MAX)
        try:
            if self._takes_turns(fd, at, size):
                with copies.take():
                    data = os.pread(fd, size, at)
            else:
                data = os.pread(fd, size, at)
        except OSError as error:
            raise from_os_error(error, self._path) from error
        self._check(len(data), at)
        return data

    def _takes_turns(self, fd: int, at: int, size: int) -> bool:
        """Whether a read is a large copy and nothing else: its end is in memory. What
        comes from a disk waits for that, and better beside others."""
        if size < LARGE_BYTES:
            return False
        if self.in_memory:
            return True
        try:
            return os.preadv(fd, [self._probe], at + size - 1, os.RWF_NOWAIT) == 1
        except OSError:
            return False  # not in memory, or this file system cannot tell

    def _check(self, count: int, at: int) -> None:
        if not count:
            raise DataLossError(
                "the file has become shorter since it was opened",
                path=self._path,
                offset=at,
            )

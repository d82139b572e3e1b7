"""A stream that is read from the worker's file itself.

The worker has handed over a descriptor and is needed no more: not for the bytes, and
not to stay alive.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from ..broker.lanes import Descriptor
from ..drivers.contract import FileRange
from ..drivers.errors import DataLossError, DeadlineExceededError, InvalidStateError
from ..drivers.oserrors import from_os_error
from .errands import overdue
from .memoryfs import is_in_memory
from .turns import LARGE_BYTES, copies

CALL_BYTES_MAX = 1 << 30
"""What one system call is asked for."""
PROBE_BYTES = 1_048_576
"""So far apart are the bytes that show whether a part of a file is in memory: the
kernel reads ahead, and forgets, in larger parts."""
SURE_BYTES = 131_072
SURE_S_MAX = 1.0
"""How far ahead it is looked at, and how long that counts: memory is soon forgotten."""
BUSY_S_MAX = 30.0
"""How long a read waits for another one of the same reader, unless it says less."""

_NO_TURN = nullcontext()


class _File:
    """A descriptor that one thread at a time reads from.

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

    def in_use(self, within_s: float) -> _File:
        """Have it during a `with` block, which gets the descriptor's number.

        Args:
            within_s: seconds that it may be in use by another.

        Raises:
            DeadlineExceededError: it is in use for longer.
            InvalidStateError: it is closed.
        """
        if not self._lock.acquire(timeout=within_s):
            raise overdue(within_s)
        return self

    def __enter__(self) -> int:
        try:
            return self.fileno()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._closed:  # by somebody who found it in use
            self.close()


class Peeked(NamedTuple):
    """What was looked at, and is not taken yet.

    Attributes:
        at: where it begins in the file.
        data: the bytes.
    """

    at: int
    data: bytes


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
        self._place = threading.Lock()  # of `_at`, for a moment
        self._sure_to = 0  # what lies before is in memory, for a while
        self._sure_until = 0.0
        self._tells = True  # whether the file system knows RWF_NOWAIT
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

    def is_ready(self, size: int) -> bool:
        """Whether the next bytes can be had without waiting for a disk, as far as the
        system tells.

        Args:
            size: how many.
        """
        end = min(self._end, self._at + size)
        if self.in_memory or end <= self._at:
            return True
        now = time.monotonic()
        if end <= self._sure_to and now < self._sure_until:
            return True
        if self._file.is_busy or not self._tells:
            return False
        ahead = min(self._end, self._at + SURE_BYTES)
        for sure_to in (max(ahead, end), end):  # one look does for many small reads
            if self._is_cached(self._at, sure_to):
                self._sure_to, self._sure_until = sure_to, now + SURE_S_MAX
                return True
        return False

    def read(self, size: int) -> bytes:
        """Take bytes, fewer only at the end; for what is ready. When it fails, nothing
        was taken.

        Args:
            size: how many.

        Raises:
            DataLossError: the file has become shorter.
            StorageError: the system could not read it.
        """
        while True:
            peeked = self.peek(size, ready=True, within_s=BUSY_S_MAX)
            if self.skip(peeked.at, len(peeked.data)):
                return peeked.data

    def readinto(self, view: memoryview) -> int:
        """As `read`, into memory; returns how many bytes."""
        while True:
            with self._file.in_use(BUSY_S_MAX) as fd:
                start = self._at
                count = self._fill(fd, view, start)
            if self.skip(start, count):
                return count

    def peek(self, size: int, *, ready: bool, within_s: float) -> Peeked:
        """As `read`, but the bytes stay to be read until `skip`: a thread may be left
        behind that does this.

        Args:
            size: how many.
            ready: whether nothing is waited for: large copies take turns then. What
                comes from a disk waits for that, and better beside others.
            within_s: seconds that another read of the same stream may take before.
        """
        with self._file.in_use(within_s) as fd:
            at = self._at
            return Peeked(at, self._gather(fd, at, size, ready=ready))

    def skip(self, start: int, count: int) -> bool:
        """Take what was looked at; False when another thread has taken it meanwhile.

        Args:
            start: where it begins in the file.
            count: how many bytes it has.
        """
        with self._place:
            if start != self._at:
                return False
            self._at += count
            return True

    def read_now(self, view: memoryview) -> int:
        """Take what is in memory already, into memory; 0 when nothing is, or another
        thread is reading."""
        part, start = view[: self.left], self._at
        try:
            with self._file.in_use(0) as fd:
                try:
                    count = os.preadv(fd, [part], start, os.RWF_NOWAIT)
                except OSError as error:
                    if error.errno != errno.EOPNOTSUPP or not self.in_memory:
                        return 0  # not in memory, or this file system cannot tell
                    count = os.preadv(fd, [part], start)
        except DeadlineExceededError:
            return 0
        return count if self.skip(start, count) else 0

    def read_at_once(self, size: int) -> bytes:
        """Take bytes of a file in memory, without waiting for a turn."""
        start = self._at
        with self._file.in_use(BUSY_S_MAX) as fd:
            data = os.pread(fd, min(size, self._end - start), start)
            self._check(len(data), start)
        return data if self.skip(start, len(data)) else self.read_at_once(size)

    def close(self) -> None:
        """Close the file; waits for nobody. Harmless when repeated."""
        self._file.close()

    def _is_cached(self, start: int, end: int) -> bool:
        try:
            with self._file.in_use(0) as fd:
                for at in (*range(start, end - 1, PROBE_BYTES), end - 1):
                    os.preadv(fd, [self._probe], at, os.RWF_NOWAIT)
        except OSError as error:
            self._tells = error.errno != errno.EOPNOTSUPP
            return False
        except DeadlineExceededError:
            return False  # another thread was faster
        return True

    def _gather(self, fd: int, at: int, size: int, *, ready: bool) -> bytes:
        end = min(self._end, at + size)
        data = self._read(fd, at, end - at, ready) if at < end else b""
        at += len(data)
        if at < end:
            pieces = [data]
            while at < end:
                pieces.append(self._read(fd, at, end - at, ready))
                at += len(pieces[-1])
            data = b"".join(pieces)
        return data

    def _read(self, fd: int, at: int, size: int, ready: bool) -> bytes:
        try:
            with _turn(size if ready else 0):
                data = os.pread(fd, min(size, CALL_BYTES_MAX), at)
        except OSError as error:
            raise from_os_error(error, self._path) from error
        self._check(len(data), at)
        return data

    def _fill(self, fd: int, view: memoryview, at: int) -> int:
        wanted = min(len(view), self._end - at)
        got = 0
        while got < wanted:
            part = view[got : min(wanted, got + CALL_BYTES_MAX)]
            try:
                with _turn(len(part)):
                    count = os.preadv(fd, [part], at + got)
            except OSError as error:
                raise from_os_error(error, self._path) from error
            self._check(count, at + got)
            got += count
        return wanted

    def _check(self, count: int, at: int) -> None:
        if not count:
            raise DataLossError(
                "the file has become shorter since it was opened",
                path=self._path,
                offset=at,
            )


def _turn(size: int) -> AbstractContextManager[None]:
    """What a copy of so many bytes takes before: a turn, if it is large."""
    return copies.take() if size >= LARGE_BYTES else _NO_TURN

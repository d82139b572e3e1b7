"""A stream that is read from the worker's file itself.

The worker has handed over a descriptor and is needed no more: not for the bytes, and
not to stay alive.
"""

from __future__ import annotations

import os
import threading

from ..broker.lanes import Descriptor
from ..drivers.contract import FileRange
from ..drivers.errors import DataLossError, InvalidStateError
from ..drivers.oserrors import from_os_error

CALL_BYTES_MAX = 1 << 30
"""What one system call is asked for."""


class FileLane:
    """The bytes of a file from one offset to another, in order.

    Args:
        file: a descriptor for reading, which this closes.
        start: where to begin.
        end: where to end.
        path: the object, for errors.
    """

    def __init__(self, file: Descriptor, start: int, end: int, path: str) -> None:
        self._file = file
        self._start = start
        self._at = start
        self._end = end
        self._path = path
        # A close on another thread waits for the read: the descriptor's number may
        # be another file's as soon as it is closed.
        self._lock = threading.Lock()
        os.lseek(file.fileno(), start, os.SEEK_SET)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)

    @property
    def left(self) -> int:
        """Bytes that are still to be read."""
        return self._end - self._at

    def range(self) -> FileRange:
        """Where the stream lies in the file, from its beginning.

        Raises:
            InvalidStateError: it is closed.
        """
        return FileRange(self._fd(), self._start, self._end)

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer only at the end; a negative size reads all.

        Raises:
            DataLossError: the file has become shorter.
            StorageError: the system could not read it.
        """
        with self._lock:
            wanted = self.left if size < 0 else min(size, self.left)
            data = self._read(min(wanted, CALL_BYTES_MAX)) if wanted else b""
            if len(data) == wanted:
                return data
            pieces, got = [data], len(data)
            while got < wanted:
                pieces.append(self._read(min(wanted - got, CALL_BYTES_MAX)))
                got += len(pieces[-1])
            return b"".join(pieces)

    def readinto(self, view: memoryview) -> int:
        """Fill memory, all of it but at the end; errors as in `read`."""
        with self._lock:
            wanted = min(len(view), self.left)
            got = 0
            while got < wanted:
                part = view[got : min(wanted, got + CALL_BYTES_MAX)]
                try:
                    count = os.preadv(self._fd(), [part], self._at)
                except OSError as error:
                    raise from_os_error(error, self._path) from error
                self._advance(count)
                got += count
            return wanted

    def read_now(self, view: memoryview) -> int:
        """As `readinto`, but only what is in memory already; 0 when nothing is."""
        with self._lock:
            part = view[: self.left]
            try:
                count = os.preadv(self._fd(), [part], self._at, os.RWF_NOWAIT)
            except OSError:
                return 0  # not in memory, or this file system cannot tell
            self._at += count
            return count

    def close(self) -> None:
        """Close the file. Harmless when repeated."""
        with self._lock:
            self._file.close()

    def _read(self, size: int) -> bytes:
        try:
            data = os.pread(self._fd(), size, self._at)
        except OSError as error:
            raise from_os_error(error, self._path) from error
        self._advance(len(data))
        return data

    def _advance(self, count: int) -> None:
        if not count:
            raise DataLossError(
                "the file has become shorter since it was opened",
                path=self._path,
                offset=self._at,
            )
        self._at += count

    def _fd(self) -> int:
        fd = self._file.fileno()
        if fd < 0:
            raise InvalidStateError("the reader is closed", path=self._path)
        return fd

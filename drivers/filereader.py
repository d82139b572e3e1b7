"""A stream of one regular file's bytes."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from typing import Any

from .contract import FileInfo, FileRange, Reader
from .errors import DataLossError
from .oserrors import from_os_error
from .permits import Permits
from .refusals import reader_closed

READ_BYTES_MAX = 1 << 30
"""What one system call is asked for; Linux gives at most 2 GiB less a page."""

SEQUENTIAL_BYTES_MIN = 1 << 20
"""Streams from this length on ask the kernel to read further ahead: a file that is not
in memory was read 1.3 to 2.8 times as fast. For less the call is not worth it."""


def identity_of(status: os.stat_result) -> str:
    """An object's identity: a commit is a new file with a new time of its own."""
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


def info_of(path: str, status: os.stat_result) -> FileInfo:
    """What is known about an object from its file's status."""
    return FileInfo(
        path=path,
        size=status.st_size,
        mod_time=datetime.fromtimestamp(status.st_mtime, UTC),
        is_dir=False,
        identity=identity_of(status),
    )


def read_whole(source: int, size: int, path: str) -> bytes:
    """All bytes of a file that was `size` bytes long when it was opened.

    Raises:
        DataLossError: it has become shorter.
    """
    data = os.pread(source, min(size, READ_BYTES_MAX), 0)
    if len(data) == size:
        return data
    pieces, at = [data], len(data)
    while data and at < size:
        data = os.pread(source, min(size - at, READ_BYTES_MAX), at)
        pieces.append(data)
        at += len(data)
    if at < size:
        raise _shrunk(path, at)
    return b"".join(pieces)


class FileReader(Reader):
    """Reads the file that was opened, whatever becomes of its path.

    Args:
        source: its descriptor, which the reader closes.
        path: the object's path, for errors.
        status: the file's status when it was opened.
        offset: first byte.
        length: bytes at most; None reads to the end.
        permits: bounds the reads that run at once.
    """

    def __init__(
        self,
        source: int,
        path: str,
        status: os.stat_result,
        offset: int,
        length: int | None,
        permits: Permits,
    ) -> None:
        self.identity = identity_of(status)
        self._source = source
        self._path = path
        self._permits = permits
        size = status.st_size
        self._at = min(offset, size)
        self._end = size if length is None else min(self._at + length, size)
        self._start = self._at
        # A close on another thread waits for the read: the descriptor's number may
        # be another file's as soon as it is closed.
        self._lock = threading.Lock()
        if self._at:
            # Reads name their offsets; this is for whoever uses the descriptor.
            os.lseek(source, self._at, os.SEEK_SET)
        if self._end - self._at >= SEQUENTIAL_BYTES_MIN and hasattr(
            os, "posix_fadvise"
        ):
            os.posix_fadvise(source, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read(self, size: int | None = -1, /) -> bytes:
        with self._lock:
            left = self._left()
            wanted = left if size is None or size < 0 else min(size, left)
            if not wanted:
                return b""
            data = self._read(min(wanted, READ_BYTES_MAX))
            if len(data) == wanted:
                return data
            pieces, got = [data], len(data)
            while got < wanted:
                pieces.append(self._read(min(wanted - got, READ_BYTES_MAX)))
                got += len(pieces[-1])
            return b"".join(pieces)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size if size >= 0 else 1 << 16)

    def readinto(self, buffer: Any, /) -> int:
        with self._lock:
            view = memoryview(buffer).cast("B")
            wanted = min(len(view), self._left())
            got = 0
            while got < wanted:
                piece = view[got : min(wanted, got + READ_BYTES_MAX)]
                try:
                    with self._permits:
                        count = os.preadv(self._source, [piece], self._at)
                except OSError as error:
                    raise from_os_error(error, self._path) from error
                self._advance(count)
                got += count
            return wanted

    def fileno(self) -> int:
        """The file's own descriptor; its position is where the stream began."""
        self._left()
        return self._source

    def file_range(self) -> FileRange:
        self._left()
        return FileRange(self._source, self._start, self._end)

    def close(self) -> None:
        if not self.closed:
            with self._lock:
                source, self._source = self._source, -1
                if source >= 0:
                    os.close(source)
            super().close()

    def _left(self) -> int:
        if self._source < 0:
            raise reader_closed(self._path)
        return self._end - self._at

    def _read(self, size: int) -> bytes:
        try:
            with self._permits:
                data = os.pread(self._source, size, self._at)
        except OSError as error:
            raise from_os_error(error, self._path) from error
        self._advance(len(data))
        return data

    def _advance(self, count: int) -> None:
        if not count:
            raise _shrunk(self._path, self._at)
        self._at += count


def _shrunk(path: str, at: int) -> DataLossError:
    return DataLossError(
        "the file has become shorter since it was opened", path=path, offset=at
    )

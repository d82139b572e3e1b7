"""What putting and getting whole trees have in common: the tally, and the threads.

The names and errors of single files are collected while the others go on; only what
would fail for every further file as well ends a transfer early.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from ..drivers.errors import (
    CancelledError,
    DeadlineExceededError,
    IncompatibleVersionError,
    InvalidParameterError,
    QuotaExceededError,
    StorageError,
    UnavailableError,
    WorkerLostError,
)
from ..drivers.oserrors import from_os_error

PIECE_BYTES = 1_048_576
"""Bytes that are read and written at once."""
JOBS_DEFAULT = 8
JOBS_MAX = 64
WAITING_PER_JOB_MAX = 4
"""Files that wait for each thread, so that a tree of any size takes little memory."""

FATAL: tuple[type[StorageError], ...] = (
    UnavailableError,
    DeadlineExceededError,
    QuotaExceededError,
    IncompatibleVersionError,
)
"""Errors that the next file would meet too. Losing one worker is not of them."""


class Listener(Protocol):
    """Who is told of a transfer's progress; called by one thread at a time."""

    def moved(self, count: int) -> None:
        """Bytes have been transferred; a negative count takes some back."""

    def finished(self) -> None:
        """A file is complete."""

    def fault(self, name: str, error: StorageError) -> None:
        """A file was left out or failed."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a transfer has done.

    Attributes:
        files: complete files.
        size: their bytes, and those of files that failed half-way.
        skipped: names that were left out: outside the grammar, links, devices.
        failed: files that were tried in vain.
        empty_directories: directories that hold nothing, which a store cannot keep.
    """

    files: int
    size: int
    skipped: int
    failed: int
    empty_directories: int


class Tally:
    """Counts, faults and the wish to stop, shared by the threads of a transfer.

    Args:
        listener: who is told; None for nobody.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._files = 0
        self._size = 0
        self._skipped = 0
        self._failed = 0
        self._empty_directories = 0
        self._kinds: set[type[StorageError]] = set()
        self._stopped = threading.Event()
        self.fatal: StorageError | None = None

    def moved(self, count: int) -> None:
        """Count transferred bytes.

        Raises:
            CancelledError: the transfer is to stop.
        """
        if self._stopped.is_set():
            raise CancelledError("the transfer was stopped")
        with self._lock:
            self._size += count
            if self._listener is not None:
                self._listener.moved(count)

    def finished(self) -> None:
        """Count a complete file."""
        with self._lock:
            self._files += 1
            if self._listener is not None:
                self._listener.finished()

    def skip(self, name: str, error: StorageError) -> None:
        """Note something that was not tried."""
        self._fault(name, error, skipped=True)

    def fail(self, name: str, error: StorageError) -> None:
        """Note a file that could not be transferred; stop if the others cannot be."""
        if isinstance(error, FATAL) and not isinstance(error, WorkerLostError):
            with self._lock:
                self.fatal = self.fatal or error
            self.stop()
        self._fault(name, error, skipped=False)

    def empty_directory(self) -> None:
        """Count a directory that has nothing in it."""
        with self._lock:
            self._empty_directories += 1

    def stop(self) -> None:
        """Let every thread end at its next piece."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether nothing more is to be started."""
        return self._stopped.is_set()

    def summary(self) -> Summary:
        """The counts so far."""
        with self._lock:
            return Summary(
                self._files,
                self._size,
                self._skipped,
                self._failed,
                self._empty_directories,
            )

    def outcome(self) -> StorageError | None:
        """The error that stands for all faults; None when there were none.

        It is of their common class, or a plain `StorageError` when they differ.
        """
        if self.fatal is not None:
            return self.fatal
        done = self.summary()
        if not self._kinds:
            return None
        cls = next(iter(self._kinds)) if len(self._kinds) == 1 else StorageError
        return cls(f"{done.skipped} skipped, {done.failed} failed; each is named above")

    def _fault(self, name: str, error: StorageError, *, skipped: bool) -> None:
        with self._lock:
            self._skipped += skipped
            self._failed += not skipped
            self._kinds.add(type(error))
            if self._listener is not None:
                self._listener.fault(name, error)


@dataclass(frozen=True, slots=True)
class Copy:
    """One file to transfer.

    Attributes:
        name: what a fault calls it.
        run: does it, or raises; called on one of the threads.
    """

    name: str
    run: Callable[[], None]


def run(copies: Iterable[Copy], jobs: int, tally: Tally) -> None:
    """Transfer many files on a few threads; faults go into the tally.

    Args:
        copies: taken one by one as there is room; iterated on the calling thread.
        jobs: files at once.
        tally: where counts and faults go.

    Raises:
        InvalidParameterError: `jobs` is out of range.
    """
    if not 1 <= jobs <= JOBS_MAX:
        raise InvalidParameterError(f"jobs must be from 1 to {JOBS_MAX}")
    room = threading.BoundedSemaphore(jobs * WAITING_PER_JOB_MAX)
    bugs: list[BaseException] = []

    def done(future: Future[None]) -> None:
        room.release()
        if not future.cancelled() and (bug := future.exception()) is not None:
            bugs.append(bug)
            tally.stop()

    with ThreadPoolExecutor(jobs, "storagebus-transfer") as pool:
        try:
            for copy in copies:
                room.acquire()
                if tally.stopped:
                    room.release()
                    break
                pool.submit(_run_one, copy, tally).add_done_callback(done)
        except BaseException:
            tally.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if bugs:
        raise bugs[0]


def _run_one(copy: Copy, tally: Tally) -> None:
    if tally.stopped:
        return
    try:
        copy.run()
    except CancelledError as error:
        if not tally.stopped:
            tally.fail(copy.name, error)
    except StorageError as error:
        tally.fail(copy.name, error)
    except OSError as error:
        # The store's own errors are typed; this one is of the local file.
        tally.fail(copy.name, from_os_error(error))
    else:
        tally.finished()


def printable(name: str | bytes) -> str:
    """A local name for a message, whatever bytes it holds."""
    text = os.fsdecode(name).encode("utf-8", "backslashreplace").decode()
    return text if text.isprintable() else ascii(text)[1:-1]

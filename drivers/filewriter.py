"""An upload that goes into a staged file and becomes an object by a rename."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

from .contract import Writer
from .durable import replace, write_at
from .errors import DataLossError, UploadSupersededError
from .filereader import identity_of
from .locked import Locked
from .oserrors import OSErrors
from .permits import Permits
from .refusals import ended, superseded
from .staging import Staged, Uploads


class FileWriter(Writer):
    """Writes straight into the staged file, so that `durable` equals `size`.

    Args:
        uploads: the driver's uploads.
        staged: the name of the staged file.
        target: its descriptor, which the writer closes.
        size: bytes that it holds.
        permits: bounds the writes that run at once.
    """

    def __init__(
        self,
        uploads: Uploads,
        staged: Staged,
        target: int,
        size: int,
        permits: Permits,
    ) -> None:
        self.upload_id = staged.upload_id
        self.generation = staged.generation
        self._uploads = uploads
        self._staged = staged
        self._path = staged.path
        self._target = target
        self._size = size
        self._permits = permits
        self._damaged = False
        self._lock = threading.Lock()

    def __del__(self) -> None:
        # Left behind without an end: the upload stays open for whoever has its id.
        if getattr(self, "_target", -1) >= 0:
            os.close(self._target)

    @property
    def size(self) -> int:
        return self._size

    @property
    def durable(self) -> int:
        return 0 if self._damaged else self._size

    def write(self, data: bytes | bytearray | memoryview) -> int:
        with self._lock, self._permits, OSErrors(self._path):
            self._check_usable()
            with Locked(self._target, self._path):
                self._check_owned()
                try:
                    write_at(self._target, data, self._size)
                except OSError:
                    # A part of it may have found room.
                    os.ftruncate(self._target, self._size)
                    raise
            self._size += len(data)
        return len(data)

    def commit(self) -> None:
        with self._lock, self._permits, OSErrors(self._path):
            self._check_usable()
            self._sync()
            with Locked(self._target, self._path):
                self._check_owned()
                self._publish()
            self._end()
            with suppress(OSError):  # it is committed, whatever is left behind
                self._uploads.ended(self._staged)

    def cancel(self) -> None:
        with self._lock, self._permits, OSErrors(self._path):
            self._check_open()
            try:
                self._drop()
            except UploadSupersededError:
                pass  # what is there now is another's
            finally:
                self._end()

    def close(self) -> None:
        with self._lock:
            if self._target < 0:
                return
            try:
                with self._permits, OSErrors(self._path):
                    if self._damaged:
                        self._drop()
                    else:
                        with Locked(self._target, self._path):
                            self._check_owned()
                            self._uploads.keep(self._staged)
            except UploadSupersededError:
                pass  # its new owner keeps it
            finally:
                self._end()

    def _sync(self) -> None:
        # A time of its own for every commit: the kernel's clock ticks in
        # milliseconds, and the identity must change whenever the content does.
        now_ns = time.time_ns()
        os.utime(self._target, ns=(now_ns, now_ns))
        try:
            os.fsync(self._target)
        except OSError:
            # The system may have dropped what it could not write, and would call a
            # second fsync a success.
            self._damaged = True
            raise

    def _publish(self) -> None:
        """Make the staged file the object; the caller holds the lock."""
        tree, commits = self._uploads.tree, self._uploads.commits
        path, upload_id = self._path, self.upload_id

        def mark(status: os.stat_result) -> None:
            commits.remember(path, upload_id, identity_of(status))

        try:
            replace(tree, self._staged.file, path, mark)
        except FileNotFoundError:
            raise superseded(path) from None
        except BaseException:
            if self._uploads.owns(self._staged, self._target):
                commits.forget(path, upload_id)
            else:
                # It is visible, but its name may not survive a loss of power.
                self._damaged = True
            raise

    def _drop(self) -> None:
        with Locked(self._target, self._path):
            self._check_owned()
            self._uploads.drop(self._staged)

    def _check_open(self) -> None:
        if self._target < 0:
            raise ended(self._path)

    def _check_usable(self) -> None:
        self._check_open()
        if self._damaged:
            raise DataLossError(
                "the disk failed to store what was written; start again",
                path=self._path,
            )

    def _check_owned(self) -> None:
        if not self._uploads.owns(self._staged, self._target):
            raise superseded(self._path)

    def _end(self) -> None:
        target, self._target = self._target, -1
        if target >= 0:
            os.close(target)

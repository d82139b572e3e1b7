"""Dropping uploads that nobody will go on with, a little at a time.

The work is bound to the making of uploads: every `UPLOADS_BETWEEN` of them, and at
the latest after `SECONDS_BETWEEN`, one of them looks at some entries more than were
made since. So what is left over cannot grow without bound, and no call takes long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice

from .paths import join
from .staging import STAGING, Staged, Uploads
from .tree import ABSENT

UPLOAD_AGE_SECONDS_MAX = 7 * 24 * 3_600
UPLOADS_BETWEEN = 32
SECONDS_BETWEEN = 60.0
ENTRIES_MAX = 8 * UPLOADS_BETWEEN
MARKS_MAX = 4 * UPLOADS_BETWEEN


class Reaper:
    """Drops uploads older than `UPLOAD_AGE_SECONDS_MAX`, and old marks of commits.

    Args:
        uploads: the driver's uploads.
    """

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._round: Iterator[str] = iter(())
        self._made = 0
        self._next_at_s = 0.0
        self._busy = threading.Lock()

    def upload_made(self) -> None:
        """Count an upload, and do some work if it is time."""
        self._made += 1
        now_s = time.monotonic()
        if self._made < UPLOADS_BETWEEN and now_s < self._next_at_s:
            return
        if self._busy.acquire(blocking=False):
            try:
                self._made = 0
                self._next_at_s = now_s + SECONDS_BETWEEN
                self.work(time.time())
            except OSError:
                pass  # no concern of the upload that happened to be counted
            finally:
                self._busy.release()

    def work(self, now_s: float) -> None:
        """Look at the next few entries, and begin a new round after the last.

        Args:
            now_s: seconds since the epoch.
        """
        self._uploads.commits.reap(now_s, MARKS_MAX)
        looked_at = 0
        for file in islice(self._round, ENTRIES_MAX):
            looked_at += 1
            if file:
                self._look_at(file, now_s)
        if looked_at < ENTRIES_MAX:
            self._round = self._entries()

    def _look_at(self, file: str, now_s: float) -> None:
        tree = self._uploads.tree
        status = tree.status(file)
        if status is None or now_s - status.st_mtime < UPLOAD_AGE_SECONDS_MAX:
            return
        directory, _, name = file.rpartition("/")
        path = directory.removeprefix(STAGING)
        staged = Staged.parse(path, name)
        if staged is not None:
            self._uploads.drop(staged)
        else:
            tree.unlink(file)
        tree.prune(directory, STAGING)

    def _entries(self) -> Iterator[str]:
        """Every staged file, and "" for each directory that was looked into."""
        tree = self._uploads.tree
        pending = [""]
        while pending:
            path = pending.pop()
            try:
                names = tree.names(STAGING + path)
            except OSError as error:
                if error.errno in ABSENT:
                    continue
                raise
            for name in names.files:
                yield join(STAGING + path, name)
            if not names.files and not names.directories:
                # Left by a writer that died before it made its file.
                tree.prune(STAGING + path, STAGING)
            yield ""
            # The driver's own directories, those of the marks, begin with "~".
            pending += [
                f"{path}/{name}"
                for name in names.directories
                if not name.startswith("~")
            ]

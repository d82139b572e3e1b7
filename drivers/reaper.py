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

from .links import read_link
from .paths import join
from .staging import KEPT, STAGING, Staged, Uploads
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
        self._round: Iterator[tuple[str, str]] = iter(())
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
        for path, name in islice(self._round, ENTRIES_MAX):
            looked_at += 1
            if name:
                self._look_at(path, name, now_s)
        if looked_at < ENTRIES_MAX:
            self._round = self._entries()

    def _look_at(self, path: str, name: str, now_s: float) -> None:
        tree = self._uploads.tree
        entry = join(STAGING + path, name)
        if name == KEPT:
            upload_id = read_link(tree, entry)
            if upload_id and self._uploads.size(path, upload_id) is None:
                self._uploads.forget_kept(Staged(path, upload_id))
        elif name.endswith(".claims"):
            if tree.status(entry.removesuffix("claims") + "upload") is None:
                tree.unlink(entry)
        else:
            status = tree.status(entry)
            if status and now_s - status.st_mtime >= UPLOAD_AGE_SECONDS_MAX:
                tree.unlink(entry)

    def _entries(self) -> Iterator[tuple[str, str]]:
        """Path and name of each entry of staging, and ("", "") for each directory."""
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
            entries = names.files + names.others
            yield from ((path, name) for name in entries if name.startswith("~"))
            if not entries and not names.directories:
                # Left by a writer that died before it made its link.
                tree.prune(STAGING + path, STAGING)
            yield "", ""
            # The driver's own directories, those of the marks, begin with "~".
            pending += [
                f"{path}/{name}"
                for name in names.directories
                if not name.startswith("~")
            ]

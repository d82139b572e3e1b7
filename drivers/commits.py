"""The memory of committed uploads: how `upload_status` can answer "committed".

A commit leaves a mark before the visible rename. While the staged file is still
there, the upload counts as open, mark or not; once it is gone, the mark says that it
was committed, and as what. A mark is a link with the object's identity (see `links`).

Marks lie in one directory an hour: ROOT/~uploads/~committed/HOUR/ID-PATH, where PATH
is a checksum of the object's path. Whole hours are dropped when they are old enough.
"""

from __future__ import annotations

import os
import time
import zlib

from .links import read_link, set_link
from .paths import join
from .tree import ABSENT, Tree

MARKS = "/~uploads/~committed"
BUCKET_SECONDS = 3_600
MARK_AGE_SECONDS_MAX = 6 * 3_600


class Commits:
    """Marks of committed uploads.

    Args:
        tree: the tree that they lie in.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def remember(self, path: str, upload_id: str, identity: str) -> None:
        """Mark an upload as committed, in place of an earlier mark."""
        hour = f"{int(time.time()) // BUCKET_SECONDS:08x}"
        set_link(self._tree, _mark(hour, path, upload_id), identity)

    def recall(self, path: str, upload_id: str) -> str | None:
        """The identity that an upload was committed as; None when it is not known."""
        for hour in self._hours():
            identity = read_link(self._tree, _mark(hour, path, upload_id))
            if identity is not None:
                return identity
        return None

    def forget(self, path: str, upload_id: str) -> None:
        """Remove an upload's marks, since it was not committed after all."""
        for hour in self._hours():
            self._tree.unlink(_mark(hour, path, upload_id))

    def reap(self, now_s: float, marks_max: int) -> None:
        """Remove old marks, at most `marks_max` of them.

        Args:
            now_s: seconds since the epoch.
            marks_max: bound of the work done.
        """
        oldest_kept = int(now_s - MARK_AGE_SECONDS_MAX) // BUCKET_SECONDS
        for hour in self._hours():
            if int(hour, 16) >= oldest_kept:
                break
            marks_max -= self._reap_hour(join(MARKS, hour), marks_max)
            if marks_max <= 0:
                break

    def _reap_hour(self, directory: str, marks_max: int) -> int:
        removed = 0
        try:
            bucket = self._tree.directory(directory)
        except OSError as error:
            if error.errno in ABSENT:
                return 0
            raise
        try:
            with os.scandir(bucket) as entries:
                for entry in entries:
                    if removed == marks_max:
                        return removed
                    self._tree.unlink(join(directory, entry.name))
                    removed += 1
        finally:
            os.close(bucket)
        self._tree.remove_empty(directory)
        return removed

    def _hours(self) -> list[str]:
        try:
            return sorted(filter(_is_hour, self._tree.names(MARKS).directories))
        except OSError as error:
            if error.errno in ABSENT:
                return []
            raise


def _is_hour(name: str) -> bool:
    return len(name) == 8 and not set(name) - set("0123456789abcdef")


def checksum(path: str) -> str:
    """Eight hexadecimal digits that tie an upload's name to its object's path."""
    return f"{zlib.crc32(path.encode()):08x}"


def _mark(hour: str, path: str, upload_id: str) -> str:
    return f"{MARKS}/{hour}/{upload_id}-{checksum(path)}"

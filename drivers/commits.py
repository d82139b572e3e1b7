"""The memory of committed uploads: how `upload_status` can answer "committed".

A commit leaves a mark before the visible rename. While the staged file is still
there, the upload counts as open, mark or not; once it is gone, the mark says that it
was committed, and as what. Marks are links that point to no file: one system call
makes one with its whole content.

Marks lie in one directory an hour: ROOT/~uploads/~committed/HOUR/ID-PATH, where PATH
is a checksum of the object's path. Whole hours are dropped when they are old enough.
"""

from __future__ import annotations

import os
import time
import zlib

from .durable import PRUNE_RACES_MAX, pruned
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
        directory = join(MARKS, f"{int(time.time()) // BUCKET_SECONDS:08x}")
        name = _mark(path, upload_id)
        for _ in range(PRUNE_RACES_MAX):
            try:
                bucket = self._tree.make_directory(directory, durable=False)
            except FileNotFoundError:
                continue
            try:
                os.symlink(identity, name, dir_fd=bucket)
                return
            except FileExistsError:
                self._tree.unlink(join(directory, name))
            except FileNotFoundError:
                continue
            finally:
                os.close(bucket)
        raise pruned(path)

    def recall(self, path: str, upload_id: str) -> str | None:
        """The identity that an upload was committed as; None when it is not known."""
        name = _mark(path, upload_id)
        for hour in self._hours():
            try:
                bucket = self._tree.directory(join(MARKS, hour))
                try:
                    return os.readlink(name, dir_fd=bucket)
                finally:
                    os.close(bucket)
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
        return None

    def forget(self, path: str, upload_id: str) -> None:
        """Remove an upload's marks, since it was not committed after all."""
        name = _mark(path, upload_id)
        for hour in self._hours():
            self._tree.unlink(join(join(MARKS, hour), name))

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


def _mark(path: str, upload_id: str) -> str:
    return f"{upload_id}-{checksum(path)}"

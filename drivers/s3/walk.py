"""Walks: along the server's own order where that is byte order, else by directory.

A walk's order is the byte order of keys. Most servers list in it, and a walk is then
one listing, page by page. Some list a directory's content right after its name, as a
tree; there each directory is listed and sorted for itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..contract import FileInfo, Walk
from ..errors import PathNotFoundError, StorageError
from ..paths import below, check_path, walk_key
from .bucket import Bucket
from .listing import children, directory_info, exists_below, info_of, pages

_AFTER_ALL = "~"
"""Sorts after everything that the grammar allows."""


class KeyWalk(Walk):
    """A walk along a listing in byte order: memory for one page.

    Args:
        bucket: what to walk.
        path: the directory to start from.
        start_after: a walk key; only entries with a greater key are returned.

    Raises:
        PathNotFoundError: no directory there.
    """

    def __init__(self, bucket: Bucket, path: str, start_after: str | None) -> None:
        self._bucket = bucket
        self._top = path
        self._after = start_after or ""
        self._prefix = bucket.directory_key(path)
        self._found = self._objects(self._after)
        self._pending: list[FileInfo] = []
        # Reading ahead by one shows a missing directory now rather than later.
        self._next = next(self._found, None)
        self._last = ""
        self._skipped = ""
        if self._next is None and path != "/" and not exists_below(bucket, path):
            raise PathNotFoundError(path=path)

    def __next__(self) -> FileInfo:
        while not self._pending:
            info = self._next
            if info is None:
                raise StopIteration
            if self._skipped and info.path.startswith(self._skipped):
                self._pass_over()
                continue
            self._pending = self._with_directories(info)
            self._last = info.path
            self._next = next(self._found, None)
        info = self._pending.pop()
        self._skipped = ""
        self._current = info
        return info

    def skip(self) -> None:
        info = getattr(self, "_current", None)
        if info is not None and info.is_dir:
            self._skipped = info.path + "/"
            self._pending.clear()

    def close(self) -> None:
        self._found = iter(())
        self._next = None
        self._pending.clear()

    def _pass_over(self) -> None:
        """Go to the first object behind the directory that is left out."""
        self._last = self._skipped
        for _ in range(1_000):
            # What came with the page is passed over for nothing.
            self._next = next(self._found, None)
            if self._next is None or not self._next.path.startswith(self._skipped):
                return
        self._found = self._objects(self._skipped + _AFTER_ALL)
        self._next = next(self._found, None)

    def _with_directories(self, info: FileInfo) -> list[FileInfo]:
        """An object, and before it the directories that it is the first one in, as a
        stack."""
        entries = [info]
        directory = info.path.rpartition("/")[0]
        while below(directory, self._top):
            key = walk_key(directory, True)
            if self._last.startswith(key) or key <= self._after:
                break
            entries.append(directory_info(directory))
            directory = directory.rpartition("/")[0]
        return entries

    def _objects(self, after: str) -> Iterator[FileInfo]:
        """The objects below the top whose paths sort after `after`."""
        key = self._bucket.root + after[1:] if after else ""
        if key and not key.startswith(self._prefix) and key < self._prefix:
            key = ""
        elif key and not key.startswith(self._prefix):
            return
        for page in pages(self._bucket, self._prefix, self._top, start_after=key):
            for entry in page.objects:
                if entry["Key"].startswith(self._bucket.uploads):
                    return
                path = self._bucket.path(entry["Key"])
                if path > after and _is_path(path):
                    yield info_of(path, entry)


class DirectoryWalk(Walk):
    """A walk that lists and sorts each directory: memory for one directory's names.

    Args:
        bucket: what to walk.
        path: the directory to start from.
        start_after: a walk key; only entries with a greater key are returned.

    Raises:
        PathNotFoundError: no directory there.
    """

    def __init__(self, bucket: Bucket, path: str, start_after: str | None) -> None:
        self._bucket = bucket
        self._after = start_after or ""
        top = self._sorted(path)
        if not top and path != "/":
            raise PathNotFoundError(path=path)
        self._levels = [top]
        self._descend: str | None = None

    def __next__(self) -> FileInfo:
        while True:
            if self._descend is not None:
                directory, self._descend = self._descend, None
                self._levels.append(self._sorted(directory))
            if not self._levels:
                raise StopIteration
            if not self._levels[-1]:
                self._levels.pop()
                continue
            info = self._levels[-1].pop()
            key = walk_key(info.path, info.is_dir)
            if info.is_dir and (key > self._after or self._after.startswith(key)):
                self._descend = info.path
            if key > self._after:
                return info

    def skip(self) -> None:
        self._descend = None

    def close(self) -> None:
        self._levels.clear()
        self._descend = None

    def _sorted(self, directory: str) -> list[FileInfo]:
        found = children(self._bucket, directory, sure=lambda: False)
        found.sort(key=lambda info: walk_key(info.path, info.is_dir), reverse=True)
        return found


def _is_path(path: str) -> bool:
    try:
        check_path(path)
    except StorageError:
        return False
    return True

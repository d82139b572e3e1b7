"""A walk along a store's own order, where that is the byte order of keys."""

from __future__ import annotations

from collections.abc import Iterator

from ..contract import FileInfo, Walk
from ..errors import InvalidPathError, PathNotFoundError
from ..paths import below, check_path, walk_key
from .listing import directory_info, exists_below
from .store import Store

PASSED_OVER_MAX = 1_000
"""Objects passed over before a listing is begun anew behind them, where it can be."""
_AFTER_ALL = "~"
"""Sorts after everything that the grammar allows."""


class KeyWalk(Walk):
    """A walk along one listing: memory for one page.

    Where the store cannot begin a listing at a key, what precedes `start_after` and
    what is skipped is listed and passed over.

    Args:
        store: what to walk.
        path: the directory to start from.
        start_after: a walk key; only entries with a greater key are returned.

    Raises:
        PathNotFoundError: no directory there.
    """

    def __init__(self, store: Store, path: str, start_after: str | None) -> None:
        self._store = store
        self._top = path
        self._after = start_after or ""
        self._prefix = store.directory_key(path)
        self._found = self._objects(self._after)
        self._pending: list[FileInfo] = []
        self._current: FileInfo | None = None
        self._last = ""
        self._skipped = ""
        # Reading ahead by one shows a missing directory now rather than later.
        self._next = next(self._found, None)
        if self._next is None and path != "/" and not exists_below(store, path):
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
        self._skipped = ""
        self._current = self._pending.pop()
        return self._current

    def skip(self) -> None:
        if self._current is not None and self._current.is_dir:
            self._skipped = self._current.path + "/"
            self._pending.clear()

    def close(self) -> None:
        self._found = iter(())
        self._next = None
        self._pending.clear()

    def _pass_over(self) -> None:
        """Go to the first object behind the directory that is left out."""
        self._last = self._skipped
        passed = 0
        while self._next is not None and self._next.path.startswith(self._skipped):
            if passed == PASSED_OVER_MAX and self._store.lists_from:
                self._found = self._objects(self._skipped + _AFTER_ALL)
            # What came with the page is passed over for nothing.
            self._next = next(self._found, None)
            passed += 1

    def _with_directories(self, info: FileInfo) -> list[FileInfo]:
        """An object, and before it the directories that it is the first one in, as a
        stack."""
        stack = [info]
        directory = info.path.rpartition("/")[0]
        while below(directory, self._top):
            key = walk_key(directory, True)
            if self._last.startswith(key) or key <= self._after:
                break
            stack.append(directory_info(directory))
            directory = directory.rpartition("/")[0]
        return stack

    def _objects(self, after: str) -> Iterator[FileInfo]:
        """The objects below the top whose paths sort after `after`."""
        start = self._store.root + after[1:] if after else ""
        if start and not start.startswith(self._prefix):
            if start > self._prefix:
                return
            start = ""
        listed = self._store.entries(self._prefix, self._top, start_after=start)
        for key, found in listed:
            if key.startswith(self._store.uploads):
                return  # "~" sorts after all that the grammar allows
            path = self._store.path(key)
            if found is not None and path > after and _is_path(path):
                yield found.info(path)


def _is_path(path: str) -> bool:
    try:
        check_path(path)
    except InvalidPathError:
        return False
    return True

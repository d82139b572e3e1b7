"""A walk for any driver that can list and stat: one directory's names in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .contract import FileInfo, Walk
from .errors import PathNotFoundError
from .paths import walk_key

if TYPE_CHECKING:
    from .contract import StorageDriver


class TreeWalk(Walk):
    """Walk in order of `walk_key`, depth first, over `list` and `stat`.

    Args:
        driver: the driver to walk.
        path: the directory to start from.
        start_after: a walk key; only entries with a greater key are returned.

    Raises:
        PathNotFoundError: `path` is no directory.
    """

    def __init__(
        self, driver: StorageDriver, path: str, start_after: str | None
    ) -> None:
        self._driver = driver
        self._after = start_after or ""
        # Each level holds what is left of one directory, in reverse order.
        self._levels = [self._children(path)]
        self._descend: str | None = None

    def __next__(self) -> FileInfo:
        while True:
            if self._descend is not None:
                directory, self._descend = self._descend, None
                try:
                    self._levels.append(self._children(directory))
                except PathNotFoundError:
                    continue  # it vanished since it was listed
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

    def _children(self, directory: str) -> list[FileInfo]:
        found = []
        for path in self._driver.list(directory):
            try:
                found.append(self._driver.stat(path))
            except PathNotFoundError:
                continue  # it vanished between the listing and here
        found.sort(key=lambda info: walk_key(info.path, info.is_dir), reverse=True)
        return found

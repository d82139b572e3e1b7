"""A walk for any driver that can list and stat: one directory's names in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .contract import FileInfo, Walk
from .errors import PathNotFoundError
from .paths import check_children, walk_key

if TYPE_CHECKING:
    from .contract import StorageDriver


class TreeWalk(Walk):
    """Walk in order of `walk_key`, depth first, over `list` and `stat`.

    A driver that knows its directories better overrides `children`.

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
        self._levels = [self.children(path)]
        self._descend: str | None = None

    def __next__(self) -> FileInfo:
        while True:
            if self._descend is not None:
                directory, self._descend = self._descend, None
                try:
                    self._levels.append(self.children(directory))
                except PathNotFoundError:
                    continue  # it vanished since it was listed
            if not self._levels:
                raise StopIteration
            info = next(self._levels[-1], None)
            if info is None:
                self._levels.pop()
                continue
            key = walk_key(info.path, info.is_dir)
            if info.is_dir and self.wanted(info.path):
                self._descend = info.path
            if key > self._after:
                return info

    def skip(self) -> None:
        self._descend = None

    def close(self) -> None:
        self._levels.clear()
        self._descend = None

    def wanted(self, path: str) -> bool:
        """Whether `path`, or anything below it, may come after `start_after`."""
        key = walk_key(path, True)
        return key > self._after or self._after.startswith(key)

    def children(self, directory: str) -> Iterator[FileInfo]:
        """The children of a directory in walk order; those not `wanted` may lack.

        Raises:
            PathNotFoundError: it is no directory; from the call, not the iterator.
        """
        found = []
        names = check_children(directory, self._driver.list(directory))
        for path in filter(self.wanted, names):
            try:
                found.append(self._driver.stat(path))
            except PathNotFoundError:
                continue  # it vanished between the listing and here
        found.sort(key=lambda info: walk_key(info.path, info.is_dir))
        return iter(found)

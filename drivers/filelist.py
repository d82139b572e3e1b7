"""What lists and walks see of a directory on disk.

A directory exists for them only while an object lies somewhere below it, and names
outside the path grammar, links, pipes and the like do not exist at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .contract import FileInfo
from .errors import PathNotFoundError
from .filereader import info_of
from .oserrors import OSErrors
from .paths import ROOT, below, join, walk_key
from .permits import Permits
from .tree import ABSENT, Tree, is_directory, is_object, is_visible
from .walking import TreeWalk

if TYPE_CHECKING:
    from .contract import StorageDriver

WALK_BATCH = 256
"""Names of one directory whose status a walk asks for at once."""


def directory_info(path: str) -> FileInfo:
    """What is known about a directory."""
    return FileInfo(path=path, size=0, mod_time=None, is_dir=True)


class Listing:
    """Lists the objects and directories of a tree.

    Args:
        tree: the tree.
        permits: bounds the calls of walks that run at once.
    """

    def __init__(self, tree: Tree, permits: Permits) -> None:
        self._tree = tree
        self._permits = permits

    def paths(self, path: str) -> list[str]:
        """The children of a directory; the caller holds a permit.

        Raises:
            PathNotFoundError: it has none; the root may.
        """
        files, directories = self._names(path)
        paths = [join(path, name) for name in files]
        for child in (join(path, name) for name in directories):
            if self._tree.has_object(child):
                paths.append(child)
        if not paths and path != ROOT:
            raise PathNotFoundError(path=path)
        return sorted(paths)

    def children(
        self, directory: str, after: str, holds: Callable[[str], bool]
    ) -> Iterator[FileInfo]:
        """The children of a directory in walk order; only names are held in memory.

        Args:
            directory: the directory.
            after: a walk key; children that end before it are left out.
            holds: whether an object lies below a directory.

        Raises:
            PathNotFoundError: no object lies below; from the call.
        """
        with self._permits, OSErrors(directory):
            files, directories = self._names(directory)
            if directory != ROOT and not files and not holds(directory):
                raise PathNotFoundError(path=directory)
        keys = [join(directory, name) for name in files]
        keys += [walk_key(join(directory, name), True) for name in directories]
        keys = sorted(key for key in keys if key > after or after.startswith(key))
        return self._infos(directory, keys, holds)

    def _infos(
        self, directory: str, keys: list[str], holds: Callable[[str], bool]
    ) -> Iterator[FileInfo]:
        for start in range(0, len(keys), WALK_BATCH):
            batch = keys[start : start + WALK_BATCH]
            with self._permits, OSErrors(directory):
                infos = self._batch(directory, batch, holds)
            yield from infos

    def _batch(
        self, directory: str, keys: list[str], holds: Callable[[str], bool]
    ) -> list[FileInfo]:
        names = [key.rstrip("/").rpartition("/")[2] for key in keys]
        try:
            statuses = self._tree.statuses(directory, names)
        except OSError as error:
            if error.errno in ABSENT:
                return []  # it vanished since it was listed
            raise
        pairs = zip(keys, statuses, strict=True)
        infos = (self._info(key, status, holds) for key, status in pairs)
        return [info for info in infos if info is not None]

    @staticmethod
    def _info(
        key: str, status: os.stat_result | None, holds: Callable[[str], bool]
    ) -> FileInfo | None:
        """None for what has vanished, or become something else, since it was listed."""
        path = key.rstrip("/")
        if not key.endswith("/"):
            if is_object(status):
                return info_of(path, status)
        elif is_directory(status) and holds(path):
            return directory_info(path)
        return None

    def object_below(self, path: str) -> str:
        """See `Tree.object_below`; the caller holds a permit."""
        return self._tree.object_below(path)

    def _names(self, directory: str) -> tuple[list[str], list[str]]:
        """Visible names of the files and directories; none where no directory is."""
        try:
            names = self._tree.names(directory)
        except OSError as error:
            if error.errno in ABSENT:
                return [], []
            raise
        return (
            [name for name in names.files if is_visible(directory, name)],
            [name for name in names.directories if is_visible(directory, name)],
        )


class FileWalk(TreeWalk):
    """A walk that asks for the status of files only when it comes to them.

    Args:
        driver: the driver to walk.
        listing: what lists its directories.
        path: the directory to start from.
        start_after: a walk key; only entries with a greater key are returned.
    """

    def __init__(
        self,
        driver: StorageDriver,
        listing: Listing,
        path: str,
        start_after: str | None,
    ) -> None:
        self._listing = listing
        self._seen = ""
        super().__init__(driver, path, start_after)

    def children(self, directory: str) -> Iterator[FileInfo]:
        return self._listing.children(directory, self._after, self._holds)

    def _holds(self, directory: str) -> bool:
        """Whether an object lies below a directory: the one that was seen last speaks
        for all above it, or a deep chain would be searched at each level."""
        if not below(self._seen, directory):
            self._seen = self._listing.object_below(directory)
        return bool(self._seen)

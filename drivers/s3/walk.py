"""A walk directory by directory, where the server does not list in byte order."""

from __future__ import annotations

from collections.abc import Iterator

from ..contract import FileInfo, StorageDriver
from ..errors import PathNotFoundError
from ..paths import walk_key
from ..walking import TreeWalk
from .bucket import Bucket
from .listing import children_of


class DirectoryWalk(TreeWalk):
    """A walk that lists and sorts each directory: memory for the names of those that
    the current object lies in.

    Args:
        driver: the driver to walk.
        bucket: where it stores.
        path: the directory to start from.
        start_after: a walk key; only entries with a greater key are returned.

    Raises:
        PathNotFoundError: no directory there.
    """

    def __init__(
        self, driver: StorageDriver, bucket: Bucket, path: str, start_after: str | None
    ) -> None:
        self._bucket = bucket
        super().__init__(driver, path, start_after)

    def children(self, directory: str) -> Iterator[FileInfo]:
        found = children_of(self._bucket, directory, sure=lambda: False)
        if not found and directory != "/":
            raise PathNotFoundError(path=directory)
        found.sort(key=lambda info: walk_key(info.path, info.is_dir))
        return iter(found)

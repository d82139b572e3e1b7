"""A walk along the service's own order, which is the byte order of names."""

from __future__ import annotations

from collections.abc import Iterator

from ..contract import FileInfo, Walk
from ..errors import InvalidPathError, PathNotFoundError
from ..paths import below, check_path, walk_key
from .container import Container
from .listing import directory_info, entries, exists_below


class KeyWalk(Walk):
    """A walk along one listing: memory for one page.

    The service cannot begin a listing at a name, so what precedes `start_after` and
    what is skipped is listed and passed over, 5,000 names a request.

    Args:
        container: what to walk.
        path: the directory to start from.
        start_after: a walk key; only entries with a greater key are returned.

    Raises:
        PathNotFoundError: no directory there.
    """

    def __init__(
        self, container: Container, path: str, start_after: str | None
    ) -> None:
        self._container = container
        self._top = path
        self._after = start_after or ""
        self._found = self._objects(path)
        self._pending: list[FileInfo] = []
        self._current: FileInfo | None = None
        self._last = ""
        self._skipped = ""
        # Reading ahead by one shows a missing directory now rather than later.
        self._next = next(self._found, None)
        if self._next is None and path != "/" and not exists_below(container, path):
            raise PathNotFoundError(path=path)

    def __next__(self) -> FileInfo:
        while not self._pending:
            info = self._next
            if info is None:
                raise StopIteration
            self._next = next(self._found, None)
            if self._skipped and info.path.startswith(self._skipped):
                self._last = info.path
                continue
            self._pending = self._with_directories(info)
            self._last = info.path
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

    def _objects(self, path: str) -> Iterator[FileInfo]:
        """The objects below a directory whose paths sort after `start_after`."""
        container = self._container
        for key, blob in entries(container, container.directory_key(path), path):
            if key.startswith(container.uploads):
                return  # "~" sorts after all that the grammar allows
            found = container.path(key)
            if blob is not None and found > self._after and _is_path(found):
                yield blob.info(found)


def _is_path(path: str) -> bool:
    try:
        check_path(path)
    except InvalidPathError:
        return False
    return True

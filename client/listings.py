"""Listing and walking: downloads of pages.

Everything that waits is a coroutine, see `waiting`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from ..broker import moments
from ..broker.messages import Open, Operation
from ..broker.wire import Payload, unpack
from ..drivers.contract import FileInfo
from ..drivers.errors import PathNotFoundError, ProtocolError
from ..drivers.paths import walk_key
from .downloads import Download
from .operations import Operations

PAGES_WINDOW_BYTES = 262_144
"""Bytes that may arrive ahead of the application: some 16 pages."""
SKIPPED_MAX = 2_000
"""Entries of a skipped directory that are dropped before the walk jumps over it."""
_LAST_CHARACTER = "~"
"""Greater than all characters of the path grammar."""


class Listing(Download):
    """The names in a directory."""

    def __init__(self, operations: Operations, path: str) -> None:
        super().__init__(operations, Operation.LIST, PAGES_WINDOW_BYTES, brief=True)
        self._path = path
        self._names: list[str] = []
        self._came = 0  # bytes of this listing
        self._had = 0  # of the one that got furthest

    async def gather(self) -> list[str]:
        """All names."""
        done = await self._operations.by_lane(
            Operation.LIST, self._arguments(self._window), b"", self._attempts
        )
        if done is not None:
            return _names_in(done.payload) if done.payload else []
        self._renew()
        while (page := await self._next()) is not None:
            self._names += _names_in(page)
            self._came += len(page)
            if self._came > self._had:
                self._had = self._came
                self._renew()
        return self._names

    def _arguments(self, window: int) -> Open:
        # A listing starts anew: it has no order to go on from.
        self._names, self._came, self._again = [], 0, self._had
        return Open(self._operations.service, self._path)


class Walking(Download):
    """The entries below a directory.

    Args:
        operations: the service.
        path: the directory.
        start_after: only what comes after this path.
    """

    def __init__(
        self, operations: Operations, path: str, start_after: str | None
    ) -> None:
        super().__init__(operations, Operation.WALK, PAGES_WINDOW_BYTES, brief=False)
        self._path = path
        self._after = start_after
        self._entries: deque[FileInfo] = deque()
        self._last: FileInfo | None = None
        self._skip: str | None = None
        self._skipped = 0
        self._ended = False

    async def entry(self) -> FileInfo | None:
        """The next entry, or None at the end."""
        while True:
            while self._entries:
                info = self._entries.popleft()
                self._after = walk_key(info.path, info.is_dir)
                if self._skip is not None:
                    if info.path.startswith(self._skip):
                        self._skipped += 1
                        continue
                    self._skip = None
                self._last = info
                return info
            if self._ended:
                return None
            if self._skip is not None and self._skipped >= SKIPPED_MAX:
                self._jump(self._skip)
            page = await self._next_page()
            if page is None:
                self._ended = True
            else:
                self._entries.extend(_entry(item) for item in _unpack_page(page))

    def skip(self) -> None:
        """Leave out what lies below the directory returned last."""
        if self._last is not None and self._last.is_dir:
            self._skip = self._last.path + "/"
            self._skipped = 0

    def stop(self) -> None:
        """End the walk."""
        self._entries.clear()
        self._ended = True
        self.close()

    async def _next_page(self) -> Payload | None:
        try:
            return await self.piece()
        except PathNotFoundError:
            if self._first:
                raise
            return None  # the directory itself has vanished meanwhile

    def _jump(self, directory: str) -> None:
        """Begin anew behind a directory, as most of it is still to come."""
        self.close()
        self._after = directory + _LAST_CHARACTER
        self._skip = None

    def _arguments(self, window: int) -> Open:
        # After a loss, what has arrived is still there: go on behind it.
        after = self._after
        if self._entries:
            last = self._entries[-1]
            after = walk_key(last.path, last.is_dir)
        return Open(self._operations.service, self._path, start_after=after)


def _names_in(page: Payload) -> list[str]:
    names = list(_unpack_page(page))
    if not all(isinstance(name, str) for name in names):
        raise ProtocolError("a page of a listing with another thing than names")
    return names


def _unpack_page(page: Payload) -> Sequence[Any]:
    items = unpack(page)
    if not isinstance(items, list):
        raise ProtocolError("a page of a listing is no array")
    return items


def _entry(item: Any) -> FileInfo:
    """An entry of a walk's page.

    Raises:
        ProtocolError: it is none.
    """
    try:
        path, size, mtime_us, is_dir, identity = item
        time = None if mtime_us is None else moments.from_us(mtime_us)
        if type(path) is str and type(size) is int and type(is_dir) is bool:
            return FileInfo(path, size, time, is_dir, identity)
    except (TypeError, ValueError):
        pass
    raise ProtocolError("a page of a walk with an entry that is none")

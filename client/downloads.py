"""Reading, listing and walking: downloads that go on elsewhere when a worker is lost.

Everything that waits is a coroutine, see `handles`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..broker import moments
from ..broker.messages import (
    LANE_FILE,
    LANE_MEMORY,
    TEXT_CHARACTERS_MAX,
    Accepted,
    Open,
    Operation,
    make,
)
from ..broker.wire import CHUNK_BYTES_MAX, Payload, unpack
from ..drivers.contract import FileInfo
from ..drivers.errors import (
    DataLossError,
    InvalidParameterError,
    PathNotFoundError,
    PreconditionError,
    ProtocolError,
    StorageError,
)
from ..drivers.paths import walk_key
from .filelane import FileLane
from .handles import Handle
from .lanes import Lanes, fetch_file, fetch_memory
from .operations import Operations
from .requests import Request
from .retry import SAFETY

_T = TypeVar("_T")

READ_WINDOW_BYTES = 8_388_608
"""Bytes of an object that may arrive ahead of the application."""
READ_WINDOW_BYTES_MIN = 262_144
"""The same when very many objects are read at once."""
AHEAD_BYTES_MAX = 67_108_864
"""Bytes that may arrive ahead in all downloads of a client, as long as that leaves
each the least window."""
PAGES_WINDOW_BYTES = 262_144
"""The same for listings: some 16 pages."""
FILE_BYTES = 67_108_864
"""What is read of a file in one go; each has the whole deadline."""
SKIPPED_MAX = 2_000
"""Entries of a skipped directory that are dropped before the walk jumps over it."""
_LAST_CHARACTER = "~"
"""Greater than all characters of the path grammar."""


class Download(ABC):
    """The payloads of a download, in order.

    Args:
        operations: the service.
        operation: read, list or walk.
        window: bytes that may arrive ahead.
        brief: whether the caller stays until the end.
    """

    def __init__(
        self, operations: Operations, operation: Operation, window: int, *, brief: bool
    ) -> None:
        self._operations = operations
        self._operation = operation
        self._window = window
        self._brief = brief
        self._attempts = operations.attempts(SAFETY[operation])
        self._handle: Handle | None = None
        self._first = True
        self.identity: str | None = None

    @abstractmethod
    def _arguments(self, window: int) -> Open:
        """What to ask for, to go on where this has got to.

        Args:
            window: bytes that may arrive ahead.
        """

    async def _begun(self, handle: Handle, accepted: Accepted) -> Handle:
        """The stream is open: the place to take up what the worker offers. Returns
        the handle to go on with."""
        return handle

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the payloads come another way than by the stream."""
        return False

    def _hindrance(self, error: StorageError) -> StorageError | None:
        """What to raise instead of going on after an error, if anything."""
        return None

    async def open(self) -> None:
        """Start, and wait for the worker's answer.

        Raises:
            StorageError: there is no such object or directory, or it failed.
        """
        await self._going(opening=True)

    async def piece(self) -> Payload | None:
        """The next payload, or None at the end.

        Raises:
            StorageError: it failed, and going on elsewhere did too.
        """
        return await self._going(opening=False)

    def close(self) -> None:
        """Give the rest up. Harmless when repeated."""
        handle, self._handle = self._handle, None
        self._operations.downloads.discard(id(self))
        if handle is not None:
            handle.release()

    async def _going(self, *, opening: bool) -> Payload | None:
        while True:
            try:
                handle = self._handle
                if handle is None:
                    handle = await self._begin()
                if opening or self._is_elsewhere:
                    return None
                piece = await handle.piece()
                if piece is not None:
                    # From here on the deadline is for the next piece.
                    ends = self._operations.transport.now() + self._operations.deadline
                    self._attempts.progressed(ends)
                return piece
            except StorageError as error:
                self.close()
                failure = error
            except BaseException:
                self.close()
                raise
            hindrance = self._hindrance(failure)
            if hindrance is not None:
                raise hindrance from failure
            await self._operations.pause(self._attempts, failure)

    async def _begin(self) -> Handle:
        downloads = self._operations.downloads
        downloads.add(id(self))
        window = window_bytes(self._window, len(downloads))
        request = Request.of(
            self._operation,
            self._arguments(window),
            self._operations.left(self._attempts),
            window=window,
        )
        handle = self._operations.transport.begin(request, brief=self._brief)
        self._handle = handle
        accepted = await handle.opened()
        if accepted is None:
            identity = (await handle.finish()).result.identity
        else:
            identity = accepted.identity
        if not self._first and identity != self.identity:
            raise DataLossError("the object was replaced while it was read")
        self._first = False
        self.identity = identity
        return handle if accepted is None else await self._begun(handle, accepted)


class Reading(Download):
    """The bytes of an object, always of the same one.

    Args:
        operations: the service.
        path: the object.
        start: first byte.
        length: bytes at most.
        if_match: the identity that the object must have.
        brief: whether the caller stays until the end.

    Attributes:
        file: where all that is left is to be read from, once the worker has handed
            its file over.
    """

    def __init__(
        self,
        operations: Operations,
        path: str,
        start: int = 0,
        length: int | None = None,
        if_match: str | None = None,
        *,
        brief: bool = False,
    ) -> None:
        super().__init__(operations, Operation.READ, READ_WINDOW_BYTES, brief=brief)
        self._path = path
        self._start = start
        self._length = length
        self._if_match = _check_identity(if_match, path)
        self._done = 0
        self._memory: Accepted | None = None
        self._by_stream = 0
        self._asked_for: dict[str, Any] = {}
        self.file: FileLane | None = None

    async def piece(self) -> Payload | None:
        """The next payload, good until the next call; None at the end, or when what
        is left is in `file`."""
        if self.file is not None:
            return None
        if self._memory is not None and self._by_stream >= self._lanes.after_bytes:
            await self._take_memory()
        piece = await super().piece()
        if piece is not None:
            self._done += len(piece)
            self._by_stream += len(piece)
        return piece

    @property
    def is_fleeting(self) -> bool:
        """Whether payloads may lie in a lane: they are there until the next piece."""
        return self._handle is not None and self._handle.has_lane

    async def piece_of_file(self) -> Payload | None:
        """As `piece`, when what is left is in `file`; does not block."""
        file = self.file
        assert file is not None
        if not file.left:
            return None
        view = memoryview(bytearray(min(file.left, CHUNK_BYTES_MAX)))
        count = file.read_now(view)
        if not count:
            # Taken only here, lest a task that is cancelled loses what a thread reads.
            count = await self._patiently(lambda: file.peek_into(view))
            file.skip(count)
        return view[:count]

    async def gather(self) -> bytes:
        """All that is left, in one."""
        pieces: list[bytes | memoryview] = []
        while (piece := await self.piece()) is not None:
            pieces.append(bytes(piece) if self.is_fleeting else piece)
        file = self.file
        while file is not None and file.left:
            pieces.append(await self._patiently(lambda: file.read(FILE_BYTES)))
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        super().close()
        self._memory = None
        if self.file is not None:
            self.file.close()

    async def _patiently(self, work: Callable[[], _T]) -> _T:
        """Read from the file, within the deadline where that can be."""
        return await self._operations.transport.run(work, self._operations.deadline)

    async def _begun(self, handle: Handle, accepted: Accepted) -> Handle:
        self._memory, self._by_stream = None, 0
        if accepted.lane == LANE_MEMORY:
            self._memory = accepted
        elif accepted.lane == LANE_FILE:
            if LANE_FILE not in self._asked_for.get("lane_kinds", ()):
                raise ProtocolError("the worker offers a file that was not asked for")
            transport = self._operations.transport
            left_s = self._operations.left(self._attempts)
            self.file = await transport.run(
                lambda: fetch_file(accepted, self._path, left_s)
            )
            if self.file is None:
                self._lanes.no_file(transport.now())
                super().close()
                return await self._begin()
            self._operations.downloads.discard(id(self))
        return handle

    async def _take_memory(self) -> None:
        offer, self._memory = self._memory, None
        assert offer is not None
        handle = self._handle
        left_s = self._operations.left(self._attempts)
        segment = await self._operations.transport.run(
            lambda: fetch_memory(offer, writable=False, left_s=left_s)
        )
        if segment is not None and handle is not None and handle is self._handle:
            handle.adopt(segment)

    @property
    def _lanes(self) -> Lanes:
        return self._operations.lanes

    @property
    def _is_elsewhere(self) -> bool:
        return self.file is not None

    def _arguments(self, window: int) -> Open:
        now = self._operations.transport.now()
        self._asked_for = self._lanes.asking(now, window)
        return make(
            Open,
            service=self._operations.service,
            path=self._path,
            start=self._start + self._done,
            length=None if self._length is None else self._length - self._done,
            if_match=self._if_match if self._first else self.identity,
            **self._asked_for,
        )

    def _hindrance(self, error: StorageError) -> StorageError | None:
        if self._first:
            return None
        if isinstance(error, (PreconditionError, PathNotFoundError)):
            return DataLossError(
                "the object was replaced or deleted while it was read",
                path=self._path,
                offset=self._start + self._done,
            )
        if isinstance(error, DataLossError) and self._done:
            # The damage may lie in what the caller has already.
            error.offset = self._start + self._done
            return error
        if self.identity is None and self._done:
            # The rest might be of another object.
            error.offset = self._start + self._done
            return error
        return None


class Listing(Download):
    """The names in a directory."""

    def __init__(self, operations: Operations, path: str) -> None:
        super().__init__(operations, Operation.LIST, PAGES_WINDOW_BYTES, brief=True)
        self._path = path
        self._names: list[str] = []

    async def gather(self) -> list[str]:
        """All names."""
        while (page := await self.piece()) is not None:
            names = _unpack_page(page)
            if not all(isinstance(name, str) for name in names):
                raise ProtocolError("a page of a listing with another thing than names")
            self._names += names
        return self._names

    def _arguments(self, window: int) -> Open:
        self._names = []  # a listing starts anew: it has no order to go on from
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


def window_bytes(most: int, downloads: int) -> int:
    """The window of one of so many downloads.

    Args:
        most: its window when it is alone.
        downloads: how many there are, this one included.
    """
    fair = AHEAD_BYTES_MAX // max(1, downloads)
    return min(most, max(READ_WINDOW_BYTES_MIN, fair))


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


def _check_identity(identity: object, path: str) -> str | None:
    if identity is None:
        return None
    if not isinstance(identity, str):
        raise InvalidParameterError("if_match is a string", path=path)
    if len(identity) > TEXT_CHARACTERS_MAX:
        raise PreconditionError("no object has such an identity", path=path)
    return identity

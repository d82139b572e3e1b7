"""What `AsyncClient` hands out: a reader, a writer and a walk.

The life cycle is that of `drivers.checked`: after its end a stream raises
`InvalidStateError`, but closing it again is harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, BinaryIO

from ..drivers.arguments import check_bytes
from ..drivers.contract import PIECE_BYTES, FileInfo, FileRange
from ..drivers.errors import InvalidStateError
from .downloads import Reading
from .labels import labelled
from .listings import Walking
from .uploads import Upload

READ_ALL = -1
READ_ALL_BYTES = 1_048_576
"""What is read at a time where all that is left is wanted."""


class _Droppable:
    """A stream that is given up when it is forgotten, as by a `break`."""

    _loop: asyncio.AbstractEventLoop | None = None
    _drop: Callable[[], None] | None = None

    def _watch(self, drop: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._drop = drop

    def __del__(self) -> None:
        # Which thread collects garbage is chance; the sockets are the loop's.
        if self._loop is not None and self._drop is not None:
            try:
                self._loop.call_soon_threadsafe(self._drop)
            except RuntimeError:
                pass  # the loop is closed, and with it the client


@labelled
class AsyncReader(_Droppable):
    """A stream of an object's bytes. Tasks that share it read one after the other.

    Args:
        path: the object, for errors.
        make: starts the download.
        label: tells the driver's name, for errors.

    Attributes:
        identity: the object's identity, or None; known once it is open.
    """

    def __init__(
        self,
        path: str,
        make: Callable[[], Awaitable[Reading]],
        label: Callable[[], str],
    ) -> None:
        self._label = label
        self._path = path
        self._make = make
        self._reading: Reading | None = None
        self._rest = memoryview(b"")
        self._turn = asyncio.Lock()
        self._closed = False
        self._broken = False
        self.identity: str | None = None

    async def open(self) -> AsyncReader:
        """Open it; `async with` and `await` do.

        Raises:
            PathNotFoundError: no object there.
        """
        async with self._turn:
            await self._open()
        return self

    async def read(self, size: int | None = READ_ALL) -> bytes:
        """`size` bytes, fewer only at the end; without a size, all that is left. Where
        it fails or is cancelled with some of them, the reader is of no more use.

        Raises:
            InvalidStateError: an earlier read was broken off so.
            StorageError: the bytes cannot be had.
        """
        async with self._turn:
            return await self._read(size)

    async def _read(self, size: int | None) -> bytes:
        await self._open()
        pieces: list[bytes | memoryview] = []
        missing = size if size is not None and size >= 0 else None
        while missing is None or missing > 0:
            wanted = READ_ALL_BYTES if missing is None else missing
            if not self._rest and not await self._fill(wanted, bool(pieces)):
                break
            taken = self._rest if missing is None else self._rest[:missing]
            self._rest = self._rest[len(taken) :]
            pieces.append(bytes(taken) if self._is_fleeting else taken)
            if missing is not None:
                missing -= len(taken)
        return _whole(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    async def readinto(self, buffer: Any) -> int:
        """Fill a buffer; returns how many bytes, fewer only at the end."""
        view = memoryview(buffer).cast("B")
        filled = 0
        async with self._turn:
            await self._open()
            while filled < len(view):
                wanted = len(view) - filled
                if not self._rest and not await self._fill(wanted, filled > 0):
                    break
                count = min(len(view) - filled, len(self._rest))
                view[filled : filled + count] = self._rest[:count]
                self._rest = self._rest[count:]
                filled += count
        return filled

    async def close(self) -> None:
        """End the download, and another task's wait for it. Harmless when repeated."""
        self._closed = True
        self._rest = memoryview(b"")
        if self._reading is not None:
            self._reading.close()

    async def file_range(self) -> FileRange | None:
        """Where the stream's bytes lie in a file of this host, when the worker has
        handed that over: for `loop.sendfile` and the like."""
        await self.open()
        assert self._reading is not None
        file = self._reading.file
        return None if file is None else file.range()

    @property
    def _is_fleeting(self) -> bool:
        return self._reading is not None and self._reading.is_fleeting

    async def _open(self) -> None:
        self._check_open()
        if self._reading is None:
            reading = await self._make()
            self._watch(reading.close)
            await reading.open()
            self._reading = reading
            self._end_if_closed()
            self.identity = reading.identity

    def _end_if_closed(self) -> None:
        """Another task has closed the reader meanwhile: nothing may be left of it."""
        if self._closed and self._reading is not None:
            self._rest = memoryview(b"")
            self._reading.close()
            self._check_open()

    async def _fill(self, wanted: int, has_some: bool = False) -> bool:
        """Wait for a piece; False at the end.

        Args:
            wanted: bytes that are still to be read.
            has_some: whether the read has bytes already, lost if it ends here.
        """
        assert self._reading is not None
        self._rest = memoryview(b"")  # an empty part keeps a lane's memory, too
        try:
            piece = await self._reading.piece()
            if piece is None and self._reading.file is not None:
                piece = await self._reading.piece_of_file(wanted)
        except BaseException:
            self._broken = has_some
            raise
        self._rest = memoryview(b"" if piece is None else piece)
        self._end_if_closed()
        return piece is not None

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidStateError("the reader is closed", path=self._path)
        if self._broken:
            raise InvalidStateError(
                "an earlier read was broken off, and what it had is lost; open the "
                "object again at the offset that you have",
                path=self._path,
            )

    def __await__(self) -> Generator[Any, None, AsyncReader]:
        return self.open().__await__()

    async def __aenter__(self) -> AsyncReader:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncReader:
        return self

    async def __anext__(self) -> bytes:
        """The next piece, of whatever size it came in."""
        async with self._turn:
            await self._open()
            if not self._rest and not await self._fill(READ_ALL_BYTES):
                raise StopAsyncIteration
            piece, self._rest = _whole(self._rest), memoryview(b"")
            return piece


def _whole(piece: bytes | memoryview) -> bytes:
    """The bytes of a piece; without a copy if it is all of an object that is bytes."""
    made = piece.obj if isinstance(piece, memoryview) else piece
    return made if type(made) is bytes and len(made) == len(piece) else bytes(piece)


@labelled
class AsyncWriter(_Droppable):
    """An upload of one object; nothing is visible before `commit`.

    An `async with` block that is left by an exception cancels it, one that ends
    otherwise closes it. Tasks that share it write one after the other.

    Args:
        path: the object to be, for errors.
        make: starts the upload.
        label: tells the driver's name, for errors.
    """

    def __init__(
        self, path: str, make: Callable[[], Awaitable[Upload]], label: Callable[[], str]
    ) -> None:
        self._label = label
        self._path = path
        self._make = make
        self._opened: Upload | None = None
        self._turn = asyncio.Lock()
        self._state = "open"

    @property
    def size(self) -> int:
        """Bytes accepted so far, earlier sessions included."""
        return self._upload.size

    @property
    def durable(self) -> int:
        """Bytes that survive the death of the worker."""
        return self._upload.durable

    @property
    def upload_id(self) -> str:
        """The upload's name; "" without the capability `resume`."""
        return self._upload.upload_id

    @property
    def generation(self) -> int:
        """How often the upload has been claimed, from 1."""
        return self._upload.generation

    async def open(self) -> AsyncWriter:
        """Open it; `async with` and `await` do."""
        async with self._turn:
            await self._open()
        return self

    async def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; returns how many, which is always all of them."""
        async with self._turn:
            self._check_open("write")
            await self._open()
            given = check_bytes(data)
            await self._upload.write(given)
            return len(given)

    async def write_from(
        self,
        file: BinaryIO,
        *,
        length: int | None = None,
        moved: Callable[[int], None] = lambda count: None,
    ) -> int:
        """Append what a binary file object holds, from where it stands on.

        A seekable file is read in the event loop's thread, up to 1 MiB at once, and
        read again after a loss, so that nothing of it is kept in memory. Any other,
        such as a pipe, is read on another thread.

        Args:
            file: it must not change meanwhile.
            length: bytes at most; None for all.
            moved: told the length of each piece that was written.

        Returns:
            How many bytes were written.
        """
        async with self._turn:
            self._check_open("write_from")
            await self._open()
            if file.seekable():
                return await self._upload.write_from(file, length, moved)
            count = 0
            most = PIECE_BYTES
            while length is None or count < length:
                if length is not None:
                    most = min(PIECE_BYTES, length - count)
                piece = await asyncio.to_thread(file.read, most)
                if not piece:
                    break
                await self._upload.write(piece)
                count += len(piece)
                moved(len(piece))
            return count

    async def commit(self) -> None:
        """Make the bytes the object's content, atomically."""
        async with self._turn:
            self._check_open("commit")
            await self._open()
            await self._upload.commit()
            self._state = "committed"

    async def cancel(self) -> None:
        """Drop the upload; what was stored before it stays as it was."""
        async with self._turn:
            self._check_open("cancel")
            self._state = "cancelled"
            if self._opened is not None:
                await self._opened.cancel()

    async def close(self) -> None:
        """End the writer; without a commit, keep the upload. Harmless when repeated."""
        async with self._turn:
            if self._state == "open":
                self._state = "closed without a commit"
                if self._opened is not None:
                    await self._opened.close()

    async def _open(self) -> None:
        if self._opened is None:
            self._check_open("open")
            upload = await self._make()
            self._watch(upload.abandon)
            await upload.open()
            self._opened = upload

    @property
    def _upload(self) -> Upload:
        if self._opened is None:
            raise InvalidStateError("the writer is not open yet", path=self._path)
        return self._opened

    def _check_open(self, what: str) -> None:
        if self._state != "open":
            raise InvalidStateError(
                f"{what} on a writer that is {self._state}", path=self._path
            )

    def __await__(self) -> Generator[Any, None, AsyncWriter]:
        return self.open().__await__()

    async def __aenter__(self) -> AsyncWriter:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or self._state != "open":
            await self.close()
        else:
            await self.cancel()


@labelled
class AsyncWalk(_Droppable):
    """All below a directory, as an asynchronous iterator; tasks that share it take
    turns."""

    def __init__(self, walking: Walking, label: Callable[[], str]) -> None:
        self._label = label
        self._walking = walking
        self._turn = asyncio.Lock()

    async def open(self) -> AsyncWalk:
        """Start it, to learn at once whether the directory exists.

        Raises:
            PathNotFoundError: no directory there.
        """
        self._watch(self._walking.stop)
        await self._walking.open()
        return self

    def skip(self) -> None:
        """Leave out what lies below the directory returned last."""
        self._walking.skip()

    async def close(self) -> None:
        """End the walk. Harmless when repeated."""
        self._walking.stop()

    def __await__(self) -> Generator[Any, None, AsyncWalk]:
        return self.open().__await__()

    def __aiter__(self) -> AsyncWalk:
        return self

    async def __anext__(self) -> FileInfo:
        if self._loop is None:
            self._watch(self._walking.stop)
        async with self._turn:
            info = await self._walking.entry()
        if info is None:
            raise StopAsyncIteration
        return info

    async def __aenter__(self) -> AsyncWalk:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

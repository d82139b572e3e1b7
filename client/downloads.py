"""Downloads that go on elsewhere when a worker is lost; and reading.

Everything that waits is a coroutine, see `waiting`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any

from ..broker.messages import (
    DIRECT,
    LANE_FILE,
    LANE_MEMORY,
    TEXT_CHARACTERS_MAX,
    Accepted,
    Open,
    Operation,
    make,
)
from ..broker.wire import CHUNK_BYTES_MAX, NUMBER_MAX, Payload
from ..drivers.errors import (
    DataLossError,
    InvalidParameterError,
    PathNotFoundError,
    PreconditionError,
    ProtocolError,
    StorageError,
)
from .filelane import FileLane
from .handles import Handle, Whole
from .lanes import Lanes, fetch_file, fetch_memory, file_lane
from .operations import Operations
from .requests import Request
from .retry import SAFETY

READ_WINDOW_BYTES = 8_388_608
"""Bytes of an object that may arrive ahead of the application."""
READ_WINDOW_BYTES_MIN = 262_144
"""The same when very many objects are read at once."""
AHEAD_BYTES_MAX = 67_108_864
"""Bytes that may arrive ahead in all downloads of a client, as long as that leaves
each the least window."""
FILE_AHEAD_BYTES = 65_536
"""What is read of a file where less is wanted; held for every stream that is open."""
FILE_BYTES = 16_777_216
"""What is read of a file in one go; each has the whole deadline."""


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
        self._again = 0  # bytes to come that had come before
        self._handle: Handle | Whole | None = None
        self._first = True
        self.identity: str | None = None

    @abstractmethod
    def _arguments(self, window: int) -> Open:
        """What to ask for, to go on where this has got to.

        Args:
            window: bytes that may arrive ahead.
        """

    async def _begun(self, handle: Handle, accepted: Accepted) -> Handle | Whole:
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
        self._renew()
        await self._going(opening=True)

    async def piece(self) -> Payload | None:
        """The next payload, or None at the end.

        Raises:
            StorageError: it failed, and going on elsewhere did too.
        """
        self._renew()
        return await self._next()

    def close(self) -> None:
        """Give the rest up. Harmless when repeated."""
        handle, self._handle = self._handle, None
        self._operations.downloads.discard(id(self))
        if handle is None:
            return
        if self._is_elsewhere:
            handle.see_off(self._operations.admit)
            return
        if handle.result is not None:
            self._operations.admit(handle.result)
        handle.release()

    def _renew(self) -> None:
        """A call begins, or has got further: it has the deadline."""
        now = self._operations.transport.now()
        self._attempts.ends = now + self._operations.deadline

    async def _next(self) -> Payload | None:
        """The next payload, as `piece`, within the time that the call has."""
        piece = await self._going(opening=False)
        if piece is not None:
            if len(piece) > self._again:
                self._attempts.progressed(self._attempts.ends)
            self._again = max(0, self._again - len(piece))
        return piece

    async def _going(self, *, opening: bool) -> Payload | None:
        while True:
            try:
                handle = self._handle
                if handle is None:
                    handle = await self._begin()
                if opening or self._is_elsewhere:
                    return None
                return await handle.piece()
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

    async def _begin(self) -> Handle | Whole:
        downloads = self._operations.downloads
        downloads.add(id(self))
        window = window_bytes(self._window, len(downloads))
        arguments = self._arguments(window)
        if self._operation in DIRECT:
            arguments = self._operations.asking(arguments)
        request = Request.of(
            self._operation,
            arguments,
            self._operations.left(self._attempts),
            window=window,
            patience_s=self._operations.deadline,
            mark=self._again,
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
        self._operations.cleared(self._operation, arguments.path)
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
        # What is larger is past the end of any object, and does not fit on the wire.
        self._start = min(start, NUMBER_MAX)
        self._length = None if length is None else min(length, NUMBER_MAX)
        self._if_match = _check_identity(if_match, path)
        self._done = 0
        self._memory: Accepted | None = None
        self._by_stream = 0
        self._asked_for: dict[str, Any] = {}
        self._tried_directly = False
        self.file: FileLane | None = None

    async def piece(self) -> Payload | None:
        """The next payload, good until the next call; None at the end, or when what
        is left is in `file`."""
        if self.file is not None:
            return None
        if self._memory is not None and self._by_stream >= self._lanes.after_bytes:
            self._renew()
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

    async def piece_of_file(self, wanted: int) -> Payload | None:
        """As `piece`, when what is left is in `file`; does not block.

        Args:
            wanted: bytes that the caller waits for; little more is read.
        """
        file = self.file
        assert file is not None
        if not file.left:
            return None
        size = min(file.left, max(wanted, FILE_AHEAD_BYTES), CHUNK_BYTES_MAX)
        if file.in_memory and not file.is_busy:
            return file.read_at_once(size)  # one copy, not two
        scratch = self._operations.scratch[:size]
        count = file.read_now(scratch)
        if count:
            return bytes(scratch[:count])
        return await self.read_file(size)

    async def read_file(self, size: int) -> bytes:
        """Bytes, when what is left is in `file`, within the deadline; none only at the
        end. When it fails, nothing was taken.

        Args:
            size: how many at most.
        """
        file, deadline = self.file, self._operations.deadline
        assert file is not None
        while True:
            ready = file.is_ready(size)
            most = size if ready else min(size, FILE_BYTES)
            # Taken only here, lest what a thread reads too late is lost.
            peeked = await self._operations.transport.run(
                partial(file.peek, most, ready=ready, within_s=deadline),
                deadline,
                at_once=ready,
            )
            if file.skip(peeked.at, len(peeked.data)):
                return peeked.data

    async def gather(self) -> bytes:
        """All that is left, in one."""
        whole = None if self._handle else await self._directly()
        if whole is not None and self.file is None:
            return bytes(await whole.piece() or b"")
        pieces: list[bytes | memoryview] = []
        while (piece := await self.piece()) is not None:
            pieces.append(bytes(piece) if self.is_fleeting else piece)
            del piece  # or it would keep a lane's memory
        while self.file is not None and self.file.left:
            pieces.append(await self.read_file(FILE_BYTES))
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        super().close()
        self._memory = None
        if self.file is not None:
            self.file.close()

    async def _begin(self) -> Handle | Whole:
        whole = await self._directly()
        if whole is None:
            return await super()._begin()
        self._handle = whole
        return whole

    async def _directly(self) -> Whole | None:
        """Open it by a call lane: all of it has come then, or its file. None when the
        bus is to do it; from then on it does."""
        if self._tried_directly:
            return None
        self._tried_directly = True
        operations = self._operations
        kinds = self._lanes.kinds_at(operations.transport.now())
        arguments = make(
            Open,
            service=operations.service,
            path=self._path,
            start=self._start,
            length=self._length,
            if_match=self._if_match,
            lane_kinds=kinds,
        )
        done = await operations.by_lane(
            Operation.READ,
            arguments,
            b"",
            self._attempts,
            takes_file=LANE_FILE in kinds,
        )
        if done is None:
            return None
        if done.result.lane == LANE_FILE:
            try:
                if done.file is None:
                    raise ProtocolError("no descriptor came with a file")
                self.file = file_lane(done.file, done.result, self._path)
            except ProtocolError:
                self._lanes.no_file(operations.transport.now())
                return None
        self._first = False
        self.identity = done.result.identity
        return Whole(done.payload)

    async def _begun(self, handle: Handle, accepted: Accepted) -> Handle | Whole:
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
        lane = await self._operations.transport.run(
            lambda: fetch_memory(offer, writable=False, left_s=left_s)
        )
        if lane is None:
            return
        if isinstance(handle, Handle) and handle is self._handle:
            handle.adopt(lane)
        else:
            lane.close()

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


def window_bytes(most: int, downloads: int) -> int:
    """The window of one of so many downloads.

    Args:
        most: its window when it is alone.
        downloads: how many there are, this one included.
    """
    fair = AHEAD_BYTES_MAX // max(1, downloads)
    return min(most, max(READ_WINDOW_BYTES_MIN, fair))


def _check_identity(identity: object, path: str) -> str | None:
    if identity is None:
        return None
    if not isinstance(identity, str):
        raise InvalidParameterError("if_match is a string", path=path)
    if len(identity) > TEXT_CHARACTERS_MAX:
        raise PreconditionError("no object has such an identity", path=path)
    return identity

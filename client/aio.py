"""The client for asyncio: the same core and operations, driven by the event loop.

No thread, and none of ZeroMQ's own asyncio support, which starves other tasks under
load: the loop watches the sockets' descriptors, takes messages in bounded batches and
lets others have their turn in between.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from math import inf
from types import TracebackType
from typing import Any, TypeVar

import zmq

from ..broker.addresses import check_addresses
from ..broker.bell import Bell
from ..broker.dealer import has_input
from ..broker.wire import Payload
from ..drivers.arguments import (
    check_bytes,
    check_expires,
    check_flag,
    check_offset,
    check_start_after,
    check_upload_id,
)
from ..drivers.contract import (
    REDIRECT_METHODS,
    Capabilities,
    FileInfo,
    UploadStatus,
)
from ..drivers.errors import (
    InvalidStateError,
    PathNotFoundError,
    ProtocolError,
    StorageError,
    UnsupportedMethodError,
)
from ..drivers.paths import check_path
from . import certainty
from .aiolanes import LoopLanePool
from .aiostreams import AsyncReader, AsyncWalk, AsyncWriter
from .brokers import in_order
from .calllanes import LanePool
from .client import DEADLINE_S
from .connection import Connection
from .context import context
from .downloads import Reading
from .driver import FALLBACK_NAME
from .errands import errands, overdue
from .handles import Handle
from .labels import labelled
from .listings import Listing, Walking
from .operations import Description, Operations, fits_inline
from .permission import check_permission
from .puts import put_whole
from .requests import Request
from .transport import process_seed
from .uploads import Upload

_T = TypeVar("_T")


class TaskSignal:
    """A task waits for the loop that it runs on."""

    __slots__ = ("_bell", "_is_set", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None
        self._bell = -1

    def set(self) -> None:
        self._is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        if not self._is_set:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._is_set = False

    async def hear(self, bell: Bell, within_s: float) -> None:
        if not within_s:
            await asyncio.sleep(0)
            return
        self._bell = bell.fileno()
        self._loop.add_reader(self._bell, self.set)
        timer = self._loop.call_later(within_s, self.set)
        try:
            await self.wait()
        finally:
            timer.cancel()
            self.deafen()

    def deafen(self) -> None:
        if self._bell >= 0:
            self._loop.remove_reader(self._bell)
            self._bell = -1


class LoopTransport:
    """A connection that an event loop drives.

    It belongs to the loop on which its first operation runs.

    Args:
        endpoints: checked addresses; see `in_order` for which one is used.
    """

    def __init__(self, endpoints: Sequence[str]) -> None:
        self.endpoints = tuple(endpoints)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection | None = None
        self._sockets: list[zmq.Socket[bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self._pumping = False
        self._closed = False
        self._lanes: LanePool | None = None

    def now(self) -> float:
        """Part of `Transport`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Part of `Transport`."""
        await asyncio.sleep(seconds)

    async def run(
        self,
        work: Callable[[], _T],
        within_s: float | None = None,
        *,
        at_once: bool = False,
    ) -> _T:
        """Part of `Transport`: another thread does it. What it returns is dropped when
        the task is cancelled meanwhile."""
        if within_s is None:  # it ends by itself: not one of the threads that may hang
            return await asyncio.get_running_loop().run_in_executor(None, work)
        done = asyncio.wrap_future(errands.begin(work))
        try:
            return await asyncio.wait_for(done, within_s)
        except TimeoutError:
            raise overdue(within_s) from None

    async def explain(self, error: StorageError) -> None:
        """Part of `Transport`: a broker has said all that is known."""

    @property
    def call_lanes(self) -> LanePool | None:
        """Part of `Transport`: of the loop that drives the connection."""
        connection = self._connection
        if connection is None or not connection.core.is_open:
            return None
        try:
            here = self._loop is asyncio.get_running_loop()
        except RuntimeError:
            here = False
        return self._lanes if here else None

    def begin(self, request: Request, *, brief: bool) -> Handle:
        """Part of `Transport`; must be called on the loop."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise InvalidStateError("the client is closed")
        if self._loop is not loop:
            if self._connection is not None:
                raise InvalidStateError("an AsyncClient belongs to one event loop")
            self._connect(loop)
        assert self._connection is not None
        return Handle(self, self._connection, TaskSignal(loop), request)

    def post(self, action: Callable[..., None], *arguments: Any) -> None:
        """Part of `Port`: the caller is on the loop, so do it now."""
        if self._closed:
            raise InvalidStateError("the client is closed")
        action(*arguments)
        self._look_again()

    def release(self) -> None:
        """Part of `Port`."""

    def close(self) -> None:
        """Leave the brokers. Harmless when repeated."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is None or self._loop is None:
            return
        if self._lanes is not None:
            self._lanes.close()
        if self._timer is not None:
            self._timer.cancel()
        if not self._loop.is_closed():
            for socket in self._sockets:
                self._loop.remove_reader(_descriptor(socket))
        connection.close()

    def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        check_permission(self.endpoints)
        self._loop = loop
        endpoints = in_order(self.endpoints, process_seed())
        connection = Connection(context(), endpoints, time.monotonic)
        self._connection = connection
        self._lanes = LoopLanePool(loop)
        self._sockets = connection.sockets
        for socket in self._sockets:
            loop.add_reader(_descriptor(socket), self._pump_soon)
        self._look_again()

    def _pump_soon(self) -> None:
        if not self._pumping and self._loop is not None:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        connection = self._connection
        if connection is None:
            return
        if connection.pump(has_input):
            self._pump_soon()  # there is more; others have their turn before
        else:
            self._look_again()

    def _look_again(self) -> None:
        """ZeroMQ's descriptors tell of a change only once, and sending eats the news:
        so look at the sockets themselves after each use, and set the timer."""
        if self._connection is None or self._loop is None:
            return
        if any(has_input(socket) for socket in self._sockets):
            self._pump_soon()
        due = self._connection.next_deadline
        if due == self._due and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = due
        if due != inf:
            delay = max(0.0, due - time.monotonic())
            self._timer = self._loop.call_later(delay, self._time_has_come)

    def _time_has_come(self) -> None:
        self._timer = None
        self._pump_soon()


@labelled
class AsyncClient:
    """A service of the bus, for asyncio.

    The operations, arguments and errors are those of `Client`. When a task is
    cancelled, so is what it waited for. All of one client runs on one event loop.

        async with AsyncClient(endpoint) as client:
            await client.put_content("/a/b", b"content")
            async with client.reader("/a/b") as f:
                head = await f.read(3)
            async for info in client.walk("/"):
                print(info.path)

    Args:
        endpoint: the broker's address for clients, or several brokers'.
        service: the name of the service.
        deadline: seconds that a call may take, see `Client`.

    Raises:
        InvalidParameterError: an argument makes no sense; nothing was connected.
    """

    def __init__(
        self,
        endpoint: str | Sequence[str],
        service: str = "default",
        deadline: float = DEADLINE_S,
    ) -> None:
        self._transport = LoopTransport(check_addresses(endpoint))
        self._operations = Operations(self._transport, service, deadline)

    async def describe(self) -> Description:
        """Name, version and capabilities of the driver; asked for once."""
        return await self._operations.describe()

    async def capabilities(self) -> Capabilities:
        """What the driver behind the bus can do."""
        return (await self.describe()).capabilities

    async def get_content(self, path: str) -> bytes:
        """The whole content of an object; for small ones."""
        reading = Reading(self._operations, check_path(path), brief=True)
        try:
            return await reading.gather()
        finally:
            reading.close()

    async def put_content(
        self, path: str, content: bytes | bytearray | memoryview
    ) -> None:
        """Store `content` as the whole object, atomically."""
        check_path(path)
        given = check_bytes(content)
        # Other buffers may change while this task waits.
        kept: Payload = given if isinstance(given, bytes) else bytes(given)
        if fits_inline(kept):
            await self._operations.put(path, kept)
        else:
            await put_whole(self._operations, path, kept)

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> AsyncReader:
        """Open an object for reading; `async with`, or `await` it."""
        check_path(path)
        check_offset(path, offset, "offset")
        if length is not None:
            check_offset(path, length, "length")

        async def make() -> Reading:
            if if_match is not None and not (await self.capabilities()).identity:
                raise UnsupportedMethodError("reader(if_match=)", path=path)
            return Reading(self._operations, path, offset, length, if_match)

        return AsyncReader(path, make, self._label)

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> AsyncWriter:
        """Open an upload; `async with`, or `await` it."""
        check_path(path)
        check_flag(path, append, "append")
        if upload_id is not None:
            check_upload_id(upload_id)

        async def make() -> Upload:
            if upload_id is not None and not (await self.capabilities()).resume:
                raise UnsupportedMethodError("writer(upload_id=)", path=path)
            return Upload(self._operations, path, append, upload_id)

        return AsyncWriter(path, make, self._label)

    async def stat(self, path: str) -> FileInfo:
        """What is at `path`."""
        return await self._operations.stat(check_path(path, root=True))

    async def list(self, path: str) -> list[str]:
        """Absolute paths of the direct children of a directory, in byte order."""
        listing = Listing(self._operations, check_path(path, root=True))
        try:
            return await listing.gather()
        finally:
            listing.close()

    async def move(self, source: str, destination: str) -> None:
        """Move one object, replacing what is at the destination."""
        check_path(source)
        check_path(destination)
        if source != destination:
            await certainty.move(self._operations, source, destination)
        elif (await self._operations.stat(source)).is_dir:
            raise PathNotFoundError("a directory", path=source)

    async def delete(self, path: str) -> None:
        """Delete an object, or a directory with all below it."""
        await certainty.delete(self._operations, check_path(path))

    async def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        """A URL at which the object itself can be fetched, or None."""
        check_path(path)
        check_expires(expires)
        if method not in REDIRECT_METHODS:
            return None
        return await self._operations.redirect_url(path, method, expires)

    def walk(self, path: str, start_after: str | None = None) -> AsyncWalk:
        """All below a directory, in order; `async for`."""
        check_path(path, root=True)
        after = None if start_after is None else check_start_after(start_after)
        return AsyncWalk(Walking(self._operations, path, after), self._label)

    async def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        """What became of an upload."""
        check_path(path)
        return await self._operations.upload_status(path, check_upload_id(upload_id))

    async def bus_status(self) -> dict[str, Any]:
        """The broker's report on itself and all its services."""
        status = json.loads(await self._operations.bus_status())
        if not isinstance(status, dict):
            raise ProtocolError("the broker's status is no JSON object")
        return status

    async def close(self) -> None:
        """Leave the brokers; what is under way fails. Harmless when repeated."""
        self._transport.close()

    def _label(self) -> str:
        known = self._operations.known
        return known.driver if known is not None else FALLBACK_NAME

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _descriptor(socket: zmq.Socket[bytes]) -> int:
    return int(socket.getsockopt(zmq.FD))

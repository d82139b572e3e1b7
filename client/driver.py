"""The bus as a storage driver, before its checks: what `Client` stands on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

from ..broker.wire import Payload
from ..drivers.contract import (
    API_VERSION,
    Capabilities,
    FileInfo,
    FileRange,
    Reader,
    StorageDriver,
    UploadStatus,
    Walk,
    Writer,
)
from . import certainty
from .downloads import Reading
from .listings import Listing, Walking
from .operations import Operations, fits_inline
from .puts import put_whole
from .uploads import Upload
from .waiting import Transport, run_now

FALLBACK_NAME = "bus"


class BusDriver(StorageDriver):
    """A service of the bus as a driver; its arguments are checked already.

    Args:
        transport: the way to the brokers; closed with the driver.
        service: the name of the service.
        deadline: seconds that a call may take, see `Client`.
    """

    def __init__(self, transport: Transport, service: str, deadline: float) -> None:
        self.operations = Operations(transport, service, deadline)
        self._transport = transport

    @property
    def name(self) -> str:  # type: ignore[override]
        """The remote driver's name, where it is known already: errors need a name,
        and an error is no reason for a call."""
        known = self.operations.known
        return known.driver if known is not None else FALLBACK_NAME

    @property
    def api_version(self) -> str:  # type: ignore[override]
        return run_now(self.operations.describe()).api_version or API_VERSION

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        return run_now(self.operations.describe()).capabilities

    def get_content(self, path: str) -> bytes:
        reading = Reading(self.operations, path, brief=True)
        try:
            return run_now(reading.gather())
        finally:
            reading.close()

    def put_content(self, path: str, content: bytes | bytearray | memoryview) -> None:
        kept: Payload = content if isinstance(content, bytes) else bytes(content)
        if fits_inline(kept):
            run_now(self.operations.put(path, kept))
        else:
            run_now(put_whole(self.operations, path, kept))

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> Reader:
        reading = Reading(self.operations, path, offset, length, if_match)
        run_now(reading.open())
        return BusReader(reading)

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> Writer:
        upload = Upload(self.operations, path, append, upload_id)
        run_now(upload.open())
        return BusWriter(upload)

    def stat(self, path: str) -> FileInfo:
        return run_now(self.operations.stat(path))

    def list(self, path: str) -> list[str]:
        listing = Listing(self.operations, path)
        try:
            return run_now(listing.gather())
        finally:
            listing.close()

    def move(self, source: str, destination: str) -> None:
        run_now(certainty.move(self.operations, source, destination))

    def delete(self, path: str) -> None:
        run_now(certainty.delete(self.operations, path))

    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        return run_now(self.operations.redirect_url(path, method, expires))

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        walking = Walking(self.operations, path, start_after)
        run_now(walking.open())
        return BusWalk(walking)

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        return run_now(self.operations.upload_status(path, upload_id))

    def close(self) -> None:
        self._transport.close()


class BusReader(Reader):
    """A reader whose bytes arrive ahead of it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._rest = memoryview(b"")
        self.identity = reading.identity

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes: what is left of a piece, or a whole one."""
        if size is None or size < 0:
            rest, self._rest = bytes(self._rest), memoryview(b"")
            return rest + run_now(self._reading.gather())
        self._fill()
        file = self._reading.file
        if not self._rest and file is not None:
            if file.is_ready(size):
                return file.read(size)
            return run_now(self._reading.read_file(size))
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def readinto(self, buffer: Any, /) -> int:
        """As `read`, into a buffer: the bytes are copied once."""
        view = memoryview(buffer).cast("B")
        self._fill()
        file = self._reading.file
        if not self._rest and file is not None:
            if file.is_ready(len(view)):
                return file.readinto(view)
            # A thread that is left behind must not have the caller's memory.
            data = run_now(self._reading.read_file(len(view)))
            view[: len(data)] = data
            return len(data)
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def fileno(self) -> int:
        """The file's descriptor, when the worker has handed it over; its position is
        where the stream began."""
        found = self.file_range()
        return super().fileno() if found is None else found.fd

    def file_range(self) -> FileRange | None:
        file = self._reading.file
        return None if file is None else file.range()

    def close(self) -> None:
        if not self.closed:
            self._rest = memoryview(b"")
            try:
                self._reading.close()
            finally:
                super().close()

    def _fill(self) -> None:
        if not self._rest:
            self._rest = memoryview(b"")  # an empty part keeps a lane's memory, too
            piece = run_now(self._reading.piece())
            self._rest = memoryview(b"" if piece is None else piece)


class BusWriter(Writer):
    """A writer whose bytes are on their way when `write` returns.

    What goes wrong with them surfaces in the next call, at the latest in `commit`.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self.upload_id = upload.upload_id
        self.generation = upload.generation

    @property
    def size(self) -> int:
        return self._upload.size

    @property
    def durable(self) -> int:
        return self._upload.durable

    def write(self, data: bytes | bytearray | memoryview) -> int:
        run_now(self._upload.write(data))
        return len(data)

    def write_from(
        self,
        file: BinaryIO,
        *,
        length: int | None = None,
        moved: Callable[[int], None] = lambda count: None,
    ) -> int:
        """As a `Writer` does, with a seekable file read again after a loss."""
        if not file.seekable():
            return super().write_from(file, length=length, moved=moved)
        return run_now(self._upload.write_from(file, length, moved))

    def commit(self) -> None:
        run_now(self._upload.commit())

    def cancel(self) -> None:
        run_now(self._upload.cancel())

    def close(self) -> None:
        run_now(self._upload.close())

    def __del__(self) -> None:
        # A writer that was forgotten must not hold a stream of its worker for long.
        try:
            self._upload.abandon()
        except Exception:
            pass  # the client is closed, or the interpreter ends


class BusWalk(Walk):
    """A walk over pages that arrive ahead of it."""

    def __init__(self, walking: Walking) -> None:
        self._walking = walking

    def __next__(self) -> FileInfo:
        info = run_now(self._walking.entry())
        if info is None:
            raise StopIteration
        return info

    def skip(self) -> None:
        self._walking.skip()

    def close(self) -> None:
        self._walking.stop()

    def __del__(self) -> None:
        try:
            self._walking.stop()
        except Exception:
            pass  # the client is closed, or the interpreter ends

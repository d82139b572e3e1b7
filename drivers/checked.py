"""The wrapper in front of every driver: the rules that do not differ between stores.

Arguments are checked once, here, before the driver sees them; writers and readers get
the same life cycle whatever the store; and whatever a driver raises leaves as a
`StorageError` that names the driver.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar, cast

from .answers import check_info, check_url
from .arguments import (
    Buffer,
    check_bytes,
    check_expires,
    check_flag,
    check_identity,
    check_offset,
    check_start_after,
    check_upload_id,
)
from .contract import (
    REDIRECT_METHODS,
    Capabilities,
    FileInfo,
    FileRange,
    Reader,
    StorageDriver,
    UploadStatus,
    Walk,
    Writer,
)
from .errors import (
    DataLossError,
    InvalidParameterError,
    InvalidPathError,
    InvalidStateError,
    PathNotFoundError,
    StorageError,
    UnsupportedMethodError,
)
from .exclusive import Exclusive
from .oserrors import from_os_error
from .paths import check_children, check_path

READ_BYTES = 1 << 20
"""What a driver is asked for at a time when all that is left is wanted."""
PEEK_BYTES = 8_192
"""What is read to find the end of a line in."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Labelled:
    """Something whose errors carry a driver's name."""

    _label: str
    _path: str | None


def _typed(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[Any, _P], _R]:
    """Let only StorageErrors that name the driver out of a method."""

    @wraps(method)
    def guarded(self: Any, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(self, *args, **kwargs)
        except StorageError as error:
            if error.driver is None:
                error.driver = self._label
            raise
        except OSError as error:
            path = getattr(self, "_path", None)
            if path is None and args and isinstance(args[0], str):
                path = args[0]
            mapped = from_os_error(error, path)
            mapped.driver = self._label
            raise mapped from error
        except (StopIteration, MemoryError):
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise StorageError(what, driver=self._label) from error

    return cast(Callable[Concatenate[Any, _P], _R], guarded)


class Checked(StorageDriver):
    """A driver behind its checks.

    Args:
        driver: the driver proper.
    """

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver

    @property
    def _label(self) -> str:
        return self._driver.name

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._driver.name

    @property
    def api_version(self) -> str:  # type: ignore[override]
        return self._driver.api_version

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        return self._driver.capabilities

    @_typed
    def get_content(self, path: str) -> bytes:
        return self._driver.get_content(check_path(path))

    @_typed
    def put_content(self, path: str, content: Buffer) -> None:
        self._driver.put_content(check_path(path), check_bytes(content))

    @_typed
    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> Reader:
        check_offset(path, offset, "offset")
        if length is not None:
            check_offset(path, length, "length")
        check_path(path)
        if if_match is not None:
            check_identity(path, if_match)
            if not self._driver.capabilities.identity:
                raise UnsupportedMethodError("reader(if_match=)", path=path)
        stream = self._driver.reader(path, offset, length, if_match=if_match)
        return CheckedReader(stream, path, self._label)

    @_typed
    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> Writer:
        check_path(path)
        check_flag(path, append, "append")
        if upload_id is not None:
            check_upload_id(upload_id)
            if not self._driver.capabilities.resume:
                raise UnsupportedMethodError("writer(upload_id=)", path=path)
        upload = self._driver.writer(path, append, upload_id=upload_id)
        return CheckedWriter(upload, path, self._label)

    @_typed
    def stat(self, path: str) -> FileInfo:
        return check_info(path, self._driver.stat(check_path(path, root=True)))

    @_typed
    def list(self, path: str) -> list[str]:
        return check_children(path, self._driver.list(check_path(path, root=True)))

    @_typed
    def move(self, source: str, destination: str) -> None:
        check_path(source)
        check_path(destination)
        if source == destination:
            # Nothing to do, but a missing source must not go unnoticed.
            if self._driver.stat(source).is_dir:
                raise PathNotFoundError("a directory", path=source)
            return
        self._driver.move(source, destination)

    @_typed
    def delete(self, path: str) -> None:
        self._driver.delete(check_path(path))

    @_typed
    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        check_path(path)
        check_expires(expires)
        if method not in REDIRECT_METHODS:
            return None
        return check_url(path, self._driver.redirect_url(path, method, expires))

    @_typed
    def walk(self, path: str, start_after: str | None = None) -> Walk:
        check_path(path, root=True)
        if start_after is not None:
            start_after = self._walk_key(check_start_after(start_after))
        return CheckedWalk(self._driver.walk(path, start_after), path, self._label)

    @_typed
    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        return self._driver.upload_status(check_path(path), check_upload_id(upload_id))

    @_typed
    def close(self) -> None:
        self._driver.close()

    def _walk_key(self, start_after: str) -> str:
        """A path that is a directory now stands for the directory itself."""
        if start_after.endswith("/"):
            return start_after
        try:
            check_path(start_after)
            is_dir = self._driver.stat(start_after).is_dir
        except (PathNotFoundError, InvalidPathError):
            return start_after
        return start_after + "/" if is_dir else start_after


class CheckedReader(Reader, _Labelled):
    """Reads are full until the end, whatever kind of stream the driver returned.

    One that fails with some of its bytes ends the reader: a second would go on behind
    them, and nobody could see the gap. Threads that share a reader read one after
    the other; who closes it does not wait for them.
    """

    def __init__(self, stream: Reader, path: str, label: str) -> None:
        self._stream = stream
        self._turn = Exclusive(stream.close)
        self._ahead = b""
        self._broken = False
        self._path = path
        self._label = label
        self.identity = getattr(stream, "identity", None)

    @_typed
    def read(self, size: int | None = -1, /) -> bytes:
        with self._turn:
            self._check_open()
            most = None if size is None or size < 0 else size
            data = self._piece(READ_BYTES if most is None else most)
            if len(data) == most or not data:
                return data
            pieces, got = [data], len(data)
            try:
                while got != most:
                    missing = READ_BYTES if most is None else most - got
                    if not (data := self._piece(missing)):
                        break
                    pieces.append(data)
                    got += len(data)
            except BaseException:
                self._broken = True
                raise
            return b"".join(pieces) if len(pieces) > 1 else pieces[0]

    @_typed
    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        if view.readonly:
            raise InvalidParameterError("what is read into must be writable")
        filled = 0
        with self._turn:
            self._check_open()
            if self._ahead:
                data = self._piece(len(view))
                filled = len(data)
                view[:filled] = data
            try:
                while filled < len(view):
                    missing = len(view) - filled
                    count = self._stream.readinto(view[filled:])
                    if not count:
                        break
                    if count > missing:
                        raise self._ill(f"{count} bytes", missing)
                    filled += count
            except BaseException:
                self._broken = self._broken or filled > 0
                raise
        return filled

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size if size >= 0 else 1 << 16)

    @_typed
    def peek(self, size: int = 0, /) -> bytes:
        """Some of the next bytes, which stay to be read; none only at the end. It is
        what makes lines cheap: `readline` goes on byte by byte without it."""
        with self._turn:
            self._check_open()
            self._ahead = self._ahead or self._piece(PEEK_BYTES)
            return self._ahead

    def fileno(self) -> int:
        return self._stream.fileno()

    def file_range(self) -> FileRange | None:
        self._check_open()
        # What a third party returns need not derive from Reader.
        find = getattr(self._stream, "file_range", None)
        return None if find is None else find()

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._turn.close()

    def _piece(self, size: int) -> bytes:
        """What the driver reads, which must be bytes, and no more than was asked for:
        anything else would end the caller, or shift all that comes after."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        data = self._stream.read(size)
        if isinstance(data, bytes) and len(data) <= size:
            return data
        if isinstance(data, (bytearray, memoryview)) and len(data) <= size:
            return bytes(data)
        found = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise self._ill(found, size)

    def _ill(self, found: str, size: int) -> StorageError:
        """A fault of the driver's, after which nobody knows where its reader stands."""
        self._broken = True
        return StorageError(
            f"its reader gave {found} where {size} bytes at most were asked for",
            path=self._path,
        )

    def _check_open(self) -> None:
        if self.closed:
            raise InvalidStateError("the reader is closed", path=self._path)
        if self._broken:
            raise InvalidStateError(
                "an earlier read was broken off, and what it had is lost; open the "
                "object again at the offset that you have",
                path=self._path,
            )


class _State(Enum):
    OPEN = "open"
    COMMITTED = "committed"
    CANCELLED = "cancelled"
    CLOSED = "closed without a commit"


class CheckedWriter(Writer, _Labelled):
    """One life cycle for every driver's writer.

    open --commit--> committed --close--> committed
    open --cancel--> cancelled --close--> cancelled
    open --close---> closed    --close--> closed

    Everything else is an `InvalidStateError`. A failed commit leaves it open. Threads
    that share a writer write one after the other.
    """

    def __init__(self, upload: Writer, path: str, label: str) -> None:
        self._upload = upload
        self._turn = Exclusive()
        self._path = path
        self._label = label
        self._state = _State.OPEN
        self.upload_id = upload.upload_id
        self.generation = upload.generation

    @property
    def size(self) -> int:
        return self._upload.size

    @property
    def durable(self) -> int:
        return self._upload.durable

    @_typed
    def write(self, data: Buffer) -> int:
        with self._turn:
            self._check_open("write")
            given = check_bytes(data)
            taken = self._upload.write(given)
            if isinstance(taken, int) and taken < len(given):
                raise DataLossError(
                    f"its writer took {taken} of {len(given)} bytes", path=self._path
                )
            return len(given)

    def write_from(
        self,
        file: BinaryIO,
        *,
        length: int | None = None,
        moved: Callable[[int], None] = lambda count: None,
    ) -> int:
        with self._turn:
            self._check_open("write_from")
            if type(self._upload).write_from is Writer.write_from:
                return super().write_from(file, length=length, moved=moved)
            try:
                return self._upload.write_from(file, length=length, moved=moved)
            except StorageError as error:  # an OSError is the file's
                if error.driver is None:
                    error.driver = self._label
                raise

    @_typed
    def commit(self) -> None:
        with self._turn:
            self._check_open("commit")
            self._upload.commit()
            self._state = _State.COMMITTED

    @_typed
    def cancel(self) -> None:
        with self._turn:
            self._check_open("cancel")
            self._state = _State.CANCELLED
            self._upload.cancel()

    @_typed
    def close(self) -> None:
        with self._turn:
            if self._state is _State.OPEN:
                self._state = _State.CLOSED
                self._upload.close()

    def __enter__(self) -> CheckedWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or self._state is not _State.OPEN:
            self.close()
        else:
            self.cancel()

    def _check_open(self, what: str) -> None:
        if self._state is not _State.OPEN:
            raise InvalidStateError(
                f"{what} on a writer that is {self._state.value}", path=self._path
            )


class CheckedWalk(Walk, _Labelled):
    """A walk whose errors name the driver; threads that share it take turns."""

    def __init__(self, walk: Walk, path: str, label: str) -> None:
        self._walk = walk
        self._turn = Exclusive(walk.close)
        self._path = path
        self._label = label

    @_typed
    def __next__(self) -> FileInfo:
        with self._turn:
            return next(self._walk)

    def skip(self) -> None:
        with self._turn:
            self._walk.skip()

    @_typed
    def close(self) -> None:
        self._turn.close()

"""What a storage driver is: the interface, its streams and its capabilities.

A driver subclasses `StorageDriver` and implements `reader`, `writer`, `stat`, `list`,
`move` and `delete`; everything else has a default that is built on these. Drivers may
assume checked arguments: `drivers.checked.Checked` stands in front of every driver
that `create` or a worker hands out, and holds the rules that do not differ between
stores (path grammar, offsets, the life of a writer, the driver's name in errors).

The semantics are those of the registry's storage drivers where its drivers agree, and
one fixed choice where they do not; ARCHITECTURE.md lists the choices, and
`storagebus conform` checks them.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Any, BinaryIO, ClassVar

from .errors import UnsupportedMethodError

PIECE_BYTES = 1_048_576
"""Bytes that `Writer.write_from` reads and writes at once."""

API_VERSION = "1.0"
"""Version of this interface, "major.minor"; compared in the handshake."""

REDIRECT_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is known about an object or a directory.

    Attributes:
        path: absolute path.
        size: bytes of the object; 0 for a directory.
        mod_time: time of the last commit, with zone; None for a directory.
        is_dir: whether it is a directory.
        identity: an opaque string that changes whenever the content may have; None
            for a directory, and from drivers without the capability `identity`.
    """

    path: str
    size: int
    mod_time: datetime | None
    is_dir: bool
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver can do, and its limits.

    Attributes:
        redirects: `redirect_url` may return a URL.
        identity: `FileInfo.identity` is given and `reader(if_match=)` honours it.
        resume: uploads have an `upload_id`, `upload_status` answers, and
            `writer(upload_id=)` continues an upload whose writer vanished.
        nested_objects: an object may lie below another object.
        shared: several processes with the same parameters see the same objects.
        walk_in_order: the store lists in walk order, so a walk needs constant memory.
        nonblocking: no call ever waits for a disk or a network.
        object_bytes_max: largest object in bytes; None without a limit.
        path_bytes_max: longest path in bytes; None for the grammar's own limit.
        part_bytes_min: smallest piece, in bytes, that the store accepts in an upload.
        streams_max: open readers and writers at once; None without a limit.
    """

    redirects: bool = False
    identity: bool = False
    resume: bool = False
    nested_objects: bool = False
    shared: bool = True
    walk_in_order: bool = False
    nonblocking: bool = False
    object_bytes_max: int | None = None
    path_bytes_max: int | None = None
    part_bytes_min: int = 0
    streams_max: int | None = None

    def to_fields(self) -> dict[str, Any]:
        """A map of plain values, as it travels in a handshake."""
        return asdict(self)

    @classmethod
    def from_fields(cls, given: dict[str, Any]) -> Capabilities:
        """The reverse of `to_fields`; unknown and ill-typed entries are ignored."""
        known: dict[str, Any] = {}
        for field in fields(cls):
            value = given.get(field.name)
            wants_bool = isinstance(field.default, bool)
            if isinstance(value, bool) if wants_bool else type(value) is int:
                known[field.name] = value
        return cls(**known)


class UploadState(Enum):
    """What became of an upload."""

    OPEN = "open"
    COMMITTED = "committed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """Answer of `upload_status`.

    Attributes:
        state: open (it can be continued), committed, or unknown.
        durable: bytes that a continued upload would start from; 0 unless open.
        identity: identity of the object that the upload became, when committed and
            still known.
    """

    state: UploadState
    durable: int = 0
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class FileRange:
    """Where in a real file a stream's bytes lie.

    Attributes:
        fd: a descriptor of the file, which stays the reader's and is closed with it.
            Its own position means nothing: use offsets, as `os.pread` and
            `os.sendfile` do.
        start: offset in the file of the stream's first byte.
        end: offset after its last.
    """

    fd: int
    start: int
    end: int


class Reader(io.BufferedIOBase):
    """A stream of an object's bytes, from the offset it was opened at.

    A readable binary file object: `read(n)` is short only at the end. The content is
    that of one committed object, even when the path is overwritten meanwhile, or the
    read fails with `DataLossError`.

    Attributes:
        identity: the object's identity, or None without that capability.
    """

    identity: str | None = None

    def readable(self) -> bool:
        return True

    def file_range(self) -> FileRange | None:
        """The file that holds the stream's bytes, where there is one.

        It must be a regular file that holds committed content and nothing else that
        the caller may not see, and that changes no more, whatever becomes of the
        path. A worker on the caller's host then hands over a descriptor instead of
        bytes. What was read before makes no difference: the range is the whole
        stream's.
        """
        return None


class Writer(ABC):
    """An upload of one object. Nothing is visible before `commit`.

    `close` without `commit` keeps what was written, for `writer(path, append=True)`
    to continue; `cancel` drops it. A `with` block that is left by an exception
    cancels, one that ends otherwise closes. A driver's own writer is ended by the
    first of the three that succeeds, and frees what it holds there: the wrapper in
    front of it takes a caller's `close` after a commit upon itself.

    Attributes:
        upload_id: opaque name of the upload; "" without the capability `resume`.
        generation: how often the upload has been claimed, from 1.
    """

    upload_id: str = ""
    generation: int = 1

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes accepted so far, earlier sessions included."""

    @property
    def durable(self) -> int:
        """Bytes that survive the death of this process; at most `size`."""
        return 0

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; returns how many, which is always all of them.

        The buffer is the caller's, and used again as soon as this returns: what is
        not written by then has to be copied.

        Raises:
            UploadSupersededError: another writer has claimed the upload.
            StorageFullError, QuotaExceededError: no room.
        """

    def write_from(
        self,
        file: BinaryIO,
        *,
        length: int | None = None,
        moved: Callable[[int], None] = lambda count: None,
    ) -> int:
        """Append what a binary file object holds, from where it stands on.

        A writer that may lose what it was given (that of the bus, with its worker)
        reads a seekable file again, and needs to keep nothing of it in memory.

        Args:
            file: it must not change meanwhile.
            length: bytes at most; None for all.
            moved: told the length of each piece that was written.

        Returns:
            How many bytes were written.
        """
        count = 0
        while length is None or count < length:
            most = PIECE_BYTES if length is None else min(PIECE_BYTES, length - count)
            piece = file.read(most)
            if not piece:
                break
            self.write(piece)
            count += len(piece)
            moved(len(piece))
        return count

    @abstractmethod
    def commit(self) -> None:
        """Make the bytes the object's content: atomically, and on stable storage.

        On failure nothing becomes visible, and the writer may still be cancelled.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Drop the upload; what was stored before it stays as it was."""

    @abstractmethod
    def close(self) -> None:
        """End the writer; without a commit, keep the upload. Harmless when repeated."""

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.cancel()


class Walk(Iterator[FileInfo]):
    """The iterator that `walk` returns."""

    def skip(self) -> None:
        """Leave out what lies below the directory returned last; on a file, nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """Free what the walk holds; it then ends. Harmless when repeated."""

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StorageDriver(ABC):
    """A store of objects under absolute paths, with virtual directories.

    A directory exists exactly while an object lies under it. Every method may be
    called from several threads at once.

    Attributes:
        name: the driver's name, as in `create(name, ...)` and in its errors.
        api_version: version of this interface that the driver implements.
        capabilities: what it can do, see `Capabilities`.
    """

    name: str = "unnamed"
    api_version: str = API_VERSION
    capabilities: Capabilities = Capabilities()

    public_parameters: ClassVar[frozenset[str]] = frozenset()
    """Names of the parameters that are no secrets."""

    @abstractmethod
    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> Reader:
        """Open an object for reading.

        Args:
            path: the object.
            offset: first byte; at or past the end gives an empty stream.
            length: bytes at most; None reads to the end.
            if_match: the identity that the object must have.

        Raises:
            PathNotFoundError: no object there (a directory is none).
            InvalidOffsetError: `offset` or `length` is negative.
            PreconditionError: the object has another identity.
        """

    @abstractmethod
    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> Writer:
        """Open an upload; the object at `path` changes only when it is committed.

        Args:
            path: the object to be.
            append: continue the kept upload of this path, if there is one; else start
                from a copy of the committed object; else start empty.
            upload_id: continue exactly this upload, kept or left behind by a writer
                that vanished, and fence its former writer off.

        Raises:
            UploadNotFoundError: no upload `upload_id` is open.
            PathConflictError: an object stands where a directory would be needed.
        """

    @abstractmethod
    def stat(self, path: str) -> FileInfo:
        """What is at `path`; "/" is always a directory.

        Raises:
            PathNotFoundError: neither an object nor a directory.
        """

    @abstractmethod
    def list(self, path: str) -> list[str]:
        """Absolute paths of the direct children of a directory, in byte order.

        Raises:
            PathNotFoundError: no directory there (an object is none); "/" never raises.
        """

    @abstractmethod
    def move(self, source: str, destination: str) -> None:
        """Move one object, replacing what is at the destination.

        Raises:
            PathNotFoundError: `source` is no object; the destination is untouched.
            PathConflictError: the destination is a directory, or below an object.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete an object, or a directory with all below it, and the kept uploads
        of those paths.

        Raises:
            PathNotFoundError: neither an object, nor a directory, nor a kept upload.
        """

    def get_content(self, path: str) -> bytes:
        """The whole content of an object; for small ones.

        Raises:
            PathNotFoundError: no object there.
        """
        with self.reader(path) as stream:
            return stream.read()

    def put_content(self, path: str, content: bytes | bytearray | memoryview) -> None:
        """Store `content` as the whole object, atomically; for small ones."""
        with self.writer(path) as upload:
            upload.write(content)
            upload.commit()

    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        """A URL at which a client can fetch the object itself, or None.

        Args:
            path: the object; it need not exist.
            method: "GET" or "HEAD"; for any other the answer is None.
            expires: seconds for which the URL shall work.
        """
        return None

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        """All below a directory, files and directories, in the order of `walk_key`.

        What vanishes during the walk is left out. `skip()` on the iterator leaves the
        current directory out.

        Args:
            path: the directory; itself not part of the walk.
            start_after: only what comes after this path in walk order. A path that is
                a directory now, or is given with a trailing "/", stands for the
                directory itself, so that its content follows. It need not exist.

        Raises:
            PathNotFoundError: no directory there (from the call, not the iterator);
                "/" never raises.
        """
        from .walking import TreeWalk

        return TreeWalk(self, path, start_after)

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        """What became of an upload; how a caller that lost a reply finds out.

        Raises:
            UnsupportedMethodError: without the capability `resume`.
        """
        raise UnsupportedMethodError("upload_status", driver=self.name)

    def close(self) -> None:  # noqa: B027 - a driver without resources needs none
        """Free what the driver holds. Harmless when repeated."""

    def __enter__(self) -> StorageDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""From a store into local files: one, a pipe, or a tree.

A file appears under its name only when it is complete: bytes go to a temporary file
beside it, which is renamed. In a tree, every directory below the destination is opened
by descriptor and without following links, so that neither a name from the store nor a
link that lies there can lead outside.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..drivers.contract import FileInfo, StorageDriver, Walk
from ..drivers.errors import (
    DataLossError,
    InvalidPathError,
    PathConflictError,
    PathNotFoundError,
    PreconditionError,
    StorageError,
)
from ..drivers.oserrors import from_os_error
from ..drivers.paths import ROOT, below, check_path
from .encode_names import decode_name
from .transfer import JOBS_DEFAULT, PIECE_BYTES, Copy, Tally, printable, run

OVERWRITTEN_RETRIES_MAX = 3
"""How often a get starts again because the object was replaced meanwhile."""
TEMPORARY_PREFIX = ".storagebus-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TEMPORARY = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def get_stream(
    store: StorageDriver,
    remote: str,
    stream: BinaryIO,
    tally: Tally,
    *,
    offset: int = 0,
    length: int | None = None,
) -> int:
    """Write an object, or a part of it, to a stream.

    Args:
        store: where it is.
        remote: path of the object.
        stream: a binary stream; it is not closed.
        tally: where transferred bytes are counted.
        offset: first byte.
        length: bytes at most; None for all.

    Returns:
        How many bytes were written.
    """
    with store.reader(remote, offset, length) as source:
        count = 0
        while piece := source.read(PIECE_BYTES):
            stream.write(piece)
            count += len(piece)
            tally.moved(len(piece))
    return count


def get_file(store: StorageDriver, remote: str, local: str, tally: Tally) -> None:
    """Store an object in a local file.

    Args:
        store: where it is.
        remote: path of the object.
        local: the file, or a directory, in which it keeps its name.
        tally: where transferred bytes are counted.

    Raises:
        PathNotFoundError: no object there (a directory is none).
        DataLossError: fewer or more bytes came than the object has.
        OSError: the file cannot be written.
    """
    info = _object(store, remote)
    target = Path(local)
    if target.is_dir():
        target /= remote.rpartition("/")[2]
    directory = os.open(target.parent, _DIRECTORY)
    try:
        _fetch(store, info, directory, os.fsencode(target.name), tally)
    except OSError as error:
        error.filename = str(target)  # the temporary name says nothing to anybody
        raise
    finally:
        os.close(directory)


def get_tree(
    store: StorageDriver,
    prefix: str,
    root: str,
    tally: Tally,
    *,
    jobs: int = JOBS_DEFAULT,
    decode_names: bool = False,
) -> None:
    """Store every object below a directory of the store in local files.

    Args:
        store: where they are.
        prefix: the directory of the store.
        root: the local directory that stands for it; made when missing.
        tally: where counts and faults go.
        jobs: files at once.
        decode_names: undo `put_tree(encode_names=True)`.

    Raises:
        PathNotFoundError: no directory `prefix`; says so if it is an object.
        StorageError: `root` cannot be made; typed by the reason.
    """
    with _walk(store, prefix) as walk:
        try:
            Path(root).mkdir(parents=True, exist_ok=True)
            destination = os.open(root, _DIRECTORY)
        except OSError as error:
            raise from_os_error(error, printable(root)) from error

        def fetch(info: FileInfo, names: list[bytes]) -> None:
            with _directory(destination, names[:-1]) as directory:
                _fetch(store, info, directory, names[-1], tally)

        def copies() -> Iterator[Copy]:
            for info in walk:
                if info.is_dir:
                    continue
                try:
                    names = local_names(info.path, prefix, decode_names)
                except StorageError as error:
                    tally.skip(printable(info.path), error)
                    continue
                yield Copy(
                    info.path,
                    lambda info=info, names=names: fetch(info, names),  # type: ignore[misc]
                )

        try:
            run(copies(), jobs, tally)
        finally:
            os.close(destination)


def local_names(path: str, prefix: str, decode_names: bool) -> list[bytes]:
    """The names, from the destination down, under which an object is stored.

    Args:
        path: the object.
        prefix: the directory that is being fetched.
        decode_names: whether the names were encoded.

    Raises:
        InvalidPathError: a name would not stay inside the destination, or has not been
            encoded. The store is not trusted to keep to the grammar.
    """
    check_path(path)
    if not below(path, prefix):
        raise InvalidPathError(f"not below {prefix}", path=path)
    names = path[len("" if prefix == ROOT else prefix) + 1 :].split("/")
    if not decode_names:
        return [name.encode() for name in names]
    decoded = [decode_name(name) for name in names]
    for name in decoded:
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise InvalidPathError("decodes to no name of a file", path=path)
    return decoded


def _walk(store: StorageDriver, prefix: str) -> Walk:
    try:
        return store.walk(prefix)
    except PathNotFoundError:
        store.stat(prefix)  # raises it again where there is nothing
        detail = "an object, not a directory; without -r it is fetched"
        raise PathNotFoundError(detail, path=prefix) from None


def _object(store: StorageDriver, remote: str) -> FileInfo:
    check_path(remote)
    info = store.stat(remote)
    if info.is_dir:
        raise PathNotFoundError("a directory; -r fetches it", path=remote)
    return info


def _fetch(
    store: StorageDriver, info: FileInfo, directory: int, name: bytes, tally: Tally
) -> None:
    """Write an object to a temporary file, check its size, and give it its name."""
    temporary = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    fd = os.open(temporary, _TEMPORARY, 0o666, dir_fd=directory)
    try:
        with os.fdopen(fd, "wb", buffering=0) as file:
            for attempt in range(OVERWRITTEN_RETRIES_MAX + 1):
                try:
                    _copy(store, info, file, tally)
                    break
                except PreconditionError:
                    if attempt == OVERWRITTEN_RETRIES_MAX:
                        raise
                    info = _object(store, info.path)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise


def _copy(store: StorageDriver, info: FileInfo, file: BinaryIO, tally: Tally) -> None:
    count = 0
    with store.reader(info.path, if_match=info.identity) as source:
        # A read is short only at the end, so that a short one ends the object.
        while piece := source.read(PIECE_BYTES):
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]
            count += len(piece)
            tally.moved(len(piece))
            if len(piece) < PIECE_BYTES:
                break
    if count != info.size:
        raise DataLossError(f"{count} bytes came, of {info.size}", path=info.path)


@contextmanager
def _directory(root: int, names: list[bytes]) -> Iterator[int]:
    """A descriptor of the directory below `root`, made when missing.

    Raises:
        PathConflictError: something else has that name: a file, or a link.
    """
    current = os.dup(root)
    try:
        for name in names:
            try:
                inner = _open_directory(name, current)
            except NotADirectoryError:
                shown = printable(name)
                raise PathConflictError(
                    f"{shown!r} in the destination is a file or a symbolic link"
                ) from None
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)


def _open_directory(name: bytes, parent: int) -> int:
    flags = _DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        try:
            os.mkdir(name, dir_fd=parent)
        except FileExistsError:
            pass  # another thread was faster
        return os.open(name, flags, dir_fd=parent)

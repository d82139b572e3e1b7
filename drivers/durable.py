"""Putting a written file in its place: atomically, and on stable storage."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable

from .errors import DataLossError, PathConflictError
from .paths import parent
from .progress import step
from .refusals import PRUNE_RACES_MAX, blocked, occupied, pruned
from .standing import check_standing
from .tree import ABSENT, Tree, sync_directory

COPY_BYTES = 1 << 20
_SYSTEM_COPY_BYTES = 1 << 30
_CANNOT_COPY = frozenset(
    {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}
)

_IS_DIRECTORY = frozenset({errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST})
"""What a rename of a file onto a directory gives; the latter two when the file lies
somewhere below that directory."""

Announce = Callable[[os.stat_result], None]


def write_at(target: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data` at an offset; a single call may write less."""
    written = os.pwrite(target, data, offset)
    if written == len(data):
        return
    rest = memoryview(data)[written:]
    while rest:
        offset += written
        written = os.pwrite(target, rest, offset)
        rest = rest[written:]


def copy(source: int, target: int, size: int) -> None:
    """Copy the first `size` bytes of one file to another.

    The system copies where it can, without the bytes passing through this process;
    some file systems then share the blocks.

    Raises:
        DataLossError: the source is shorter.
    """
    at = 0
    in_system = hasattr(os, "copy_file_range")
    while at < size:
        if in_system:
            length = min(size - at, _SYSTEM_COPY_BYTES)
            try:
                copied = os.copy_file_range(source, target, length, at, at)
            except OSError as error:
                if error.errno not in _CANNOT_COPY:
                    raise
                in_system = False
                continue
        else:
            data = os.pread(source, min(size - at, COPY_BYTES), at)
            write_at(target, data, at)
            copied = len(data)
        if not copied:
            raise DataLossError("the file became shorter while it was copied")
        at += copied
        step()


def replace(
    tree: Tree, source: str, destination: str, announce: Announce | None = None
) -> None:
    """Rename a file to an object's path, and put the new name on stable storage.

    Directories are made as needed and empty ones in the way removed. The file's own
    bytes must have been synced before.

    Args:
        tree: the tree that both lie in.
        source: tree path of the file.
        destination: path of the object.
        announce: called with the status of the file that becomes the object, right
            before that; more than once when a rename has to be tried again.

    Raises:
        FileNotFoundError: the source is gone; nothing has changed.
        PathConflictError: a directory with objects is at the destination, or an
            object where a directory is needed.
        UnavailableError: others pruned the directory again and again.
        StorageError: see `check_standing`.
    """
    try:
        for _ in range(PRUNE_RACES_MAX):
            if _try_replace(tree, source, destination, announce):
                return
    except BaseException:
        tree.prune(parent(destination))
        raise
    raise pruned(destination)


def _try_replace(
    tree: Tree, source: str, destination: str, announce: Announce | None
) -> bool:
    status = tree.status(source)
    if status is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    try:
        directory = tree.make_directory(parent(destination), durable=True)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in ABSENT:
            raise blocked(destination) from None
        raise
    name = destination.rpartition("/")[2]
    try:
        if announce is not None:
            announce(status)
        check_standing()
        tree.rename(source, directory, name)
        sync_directory(directory)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in _IS_DIRECTORY:
            _clear(tree, destination)
            return False
        if error.errno != errno.EXDEV:
            raise
        _replace_across(tree, source, directory, name, announce)
    finally:
        os.close(directory)
    return True


def _clear(tree: Tree, path: str) -> None:
    """Remove the empty directories at an object's path.

    Raises:
        PathConflictError: they are not empty.
    """
    tree.remove_all(path, files=False)
    if tree.has_object(path):
        raise occupied(path) from None
    if not tree.remove_empty(path):
        raise PathConflictError(
            "a directory with foreign files is at this path", path=path
        ) from None


def _replace_across(
    tree: Tree, source: str, directory: int, name: str, announce: Announce | None
) -> None:
    """The same where a rename cannot: the directory is on another file system."""
    # The name is outside the path grammar, so that no listing shows it.
    temporary = f"~{secrets.token_hex(16)}.copy"
    original = tree.open_file(source, os.O_RDONLY)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        target = os.open(temporary, flags, 0o666, dir_fd=directory)
        try:
            before = os.fstat(original)
            copy(original, target, before.st_size)
            os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
            os.fsync(target)
            if announce is not None:
                announce(os.fstat(target))
            check_standing()
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(temporary, dir_fd=directory)
            raise
        finally:
            os.close(target)
    finally:
        os.close(original)
    sync_directory(directory)
    tree.unlink(source)

"""From local files into a store: one, a pipe, or a tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ..broker.messages import INLINE_BYTES_MAX
from ..drivers.contract import StorageDriver
from ..drivers.errors import (
    DataLossError,
    InvalidPathError,
    StorageError,
    UnsupportedMethodError,
)
from ..drivers.oserrors import from_os_error
from ..drivers.paths import check_path, is_component, join
from .encode_names import encode_name
from .transfer import JOBS_DEFAULT, Copy, Tally, printable, run

_FOREIGN_NAME = (
    "the name is outside the path grammar (A-Z a-z 0-9 . _ -); "
    "--encode-names stores it under another name"
)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file of a tree, and where it goes.

    Attributes:
        local: its name in the file system.
        remote: its path in the store.
        size: bytes, when it was listed.
    """

    local: str
    remote: str
    size: int


def put_stream(
    store: StorageDriver, stream: BinaryIO, remote: str, tally: Tally
) -> None:
    """Store what a stream holds up to its end, as one object.

    An error of either side leaves the store as it was.
    """
    with store.writer(remote) as upload:
        upload.write_from(stream, moved=tally.moved)
        upload.commit()


def put_file(store: StorageDriver, local: str, remote: str, tally: Tally) -> None:
    """Store a regular file as one object.

    Args:
        store: where it goes.
        local: the file.
        remote: path of the object.
        tally: where transferred bytes are counted.

    Raises:
        DataLossError: the file changed while it was read; nothing was stored.
        OSError: the file cannot be read.
    """
    # Without O_NONBLOCK the open of a fifo would wait for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    with os.fdopen(os.open(local, flags), "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise UnsupportedMethodError("not a regular file")
        if before.st_size <= INLINE_BYTES_MAX:
            content = file.read(INLINE_BYTES_MAX + 1) or b""
            _check_unchanged(before, file.fileno(), len(content))
            store.put_content(remote, content)
            tally.moved(len(content))
            return
        with store.writer(remote) as upload:
            # A file that grows as fast as it is read must not be read for ever.
            most = before.st_size + 1
            count = upload.write_from(file, length=most, moved=tally.moved)
            _check_unchanged(before, file.fileno(), count)
            upload.commit()


def put_tree(
    store: StorageDriver,
    root: str,
    prefix: str,
    tally: Tally,
    *,
    jobs: int = JOBS_DEFAULT,
    encode_names: bool = False,
) -> None:
    """Store every regular file below a local directory.

    Args:
        store: where they go.
        root: the local directory.
        prefix: the directory of the store that stands for it.
        tally: where counts and faults go.
        jobs: files at once.
        encode_names: map names outside the path grammar instead of skipping them.
    """

    def copies() -> Iterator[Copy]:
        for found in local_files(root, prefix, tally, encode_names=encode_names):
            yield Copy(
                printable(found.local),
                lambda file=found: put_file(store, file.local, file.remote, tally),  # type: ignore[misc]
            )

    run(copies(), jobs, tally)


def local_files(
    root: str, prefix: str, tally: Tally, *, encode_names: bool = False
) -> Iterator[LocalFile]:
    """The regular files below a directory, in the order of their names.

    What is no regular file, and what has a name that cannot be stored, is noted in the
    tally and left out: a directory with all below it. Symbolic links are not followed.

    Args:
        root: the local directory.
        prefix: the directory of the store that stands for it.
        tally: where faults go.
        encode_names: map names outside the path grammar instead of skipping them.

    Raises:
        InvalidPathError: `prefix` is outside the grammar.
        StorageError: `root` cannot be listed; typed by the reason.
    """
    check_path(prefix, root=True)
    try:
        first = _listed(root)
    except OSError as error:
        raise from_os_error(error, printable(root)) from error
    # Each level holds the entries of one directory that are still to come, reversed.
    levels = [(prefix, first)]
    while levels:
        remote_directory, entries = levels[-1]
        if not entries:
            levels.pop()
            continue
        entry = entries.pop()
        try:
            remote = _remote(remote_directory, entry.name, encode_names)
            kind = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(kind.st_mode):
                listed = _listed(entry.path)
                if not listed:
                    tally.empty_directory()
                levels.append((remote, listed))
            elif stat.S_ISREG(kind.st_mode):
                yield LocalFile(entry.path, remote, kind.st_size)
            else:
                raise UnsupportedMethodError(_kind(kind.st_mode))
        except OSError as error:
            tally.skip(printable(entry.path), from_os_error(error))
        except StorageError as error:
            tally.skip(printable(entry.path), error)


def _listed(directory: str) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return sorted(entries, key=lambda entry: entry.name, reverse=True)


def _remote(directory: str, name: str, encode_names: bool) -> str:
    if encode_names:
        name = encode_name(name)
    elif not is_component(name):
        raise InvalidPathError(_FOREIGN_NAME)
    return check_path(join(directory, name))


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link, which is not followed"
    return "a special file (socket, fifo or device)"


def _check_unchanged(before: os.stat_result, fd: int, count: int) -> None:
    after = os.fstat(fd)
    if count != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise DataLossError(
            f"the file changed while it was read ({before.st_size} bytes at first, "
            f"{count} read); nothing was stored; for a file that grows, use a pipe"
        )

"""A directory of this process's own for sockets, and those that others left behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..drivers.errors import UnavailableError

RUNTIME_BYTES_MAX = 60
"""The path of a Unix socket has little room; a longer directory is not used."""
PREFIX = "storagebus-"
OWNER = "owner.lock"
"""A file that the owner of the directory holds locked as long as it lives."""
TRIES_MAX = 10
LEFT_MAX = 1_000
"""Directories that are looked at."""


def private_directory(environ: Mapping[str, str]) -> Path:
    """A new directory that nobody else may enter, with a path short enough for sockets.

    Those of processes that were killed, and could not remove them, are removed.

    Args:
        environ: may name XDG_RUNTIME_DIR.

    Raises:
        UnavailableError: other processes have removed each that was made.
    """
    parent = Path(environ.get("XDG_RUNTIME_DIR", ""))
    usable = parent.is_absolute() and os.access(parent, os.W_OK)
    if not usable or len(bytes(parent)) > RUNTIME_BYTES_MAX:
        parent = Path("/tmp")
    remove_left(parent)
    for _ in range(TRIES_MAX):
        # mkdtemp makes it with mode 0700, under a name that did not exist.
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        try:
            _lock(made / OWNER, os.O_CREAT)  # the descriptor stays open until the end
        except (BlockingIOError, FileNotFoundError):
            # Another process has looked before it was locked, and removes it.
            shutil.rmtree(made, ignore_errors=True)
            continue
        return made
    raise UnavailableError(
        f"no directory for sockets can be kept in {parent}: other processes remove it; "
        "give addresses with --endpoint or in the file"
    )


def remove_left(parent: Path) -> None:
    """Remove the directories whose owner is gone; others are left alone."""
    for number, found in enumerate(parent.glob(f"{PREFIX}*/{OWNER}")):
        if number >= LEFT_MAX:
            return
        try:
            if found.lstat().st_uid != os.geteuid():
                continue
            lock = _lock(found)
        except OSError:
            continue  # its owner lives, or it was removed meanwhile
        shutil.rmtree(found.parent, ignore_errors=True)
        os.close(lock)


def _lock(path: Path, flags: int = 0) -> int:
    """A locked descriptor.

    Raises:
        OSError: another process holds the lock.
    """
    flags |= os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor

"""What SQLite's errors mean for a storage operation."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from storagebus.drivers.errors import (
    AccessDeniedError,
    DataLossError,
    Executed,
    StorageError,
    StorageFullError,
    ThrottledError,
    TooLargeError,
    UnavailableError,
)

_BY_CODE: dict[int, type[StorageError]] = {
    sqlite3.SQLITE_AUTH: AccessDeniedError,
    sqlite3.SQLITE_BUSY: ThrottledError,
    sqlite3.SQLITE_CANTOPEN: UnavailableError,
    sqlite3.SQLITE_CORRUPT: DataLossError,
    sqlite3.SQLITE_FULL: StorageFullError,
    sqlite3.SQLITE_LOCKED: ThrottledError,
    sqlite3.SQLITE_NOMEM: UnavailableError,
    sqlite3.SQLITE_NOTADB: DataLossError,
    sqlite3.SQLITE_PERM: AccessDeniedError,
    sqlite3.SQLITE_READONLY: AccessDeniedError,
    sqlite3.SQLITE_TOOBIG: TooLargeError,
}
"""Primary result codes; any other is a plain StorageError."""


@contextmanager
def typed(path: str | None) -> Iterator[None]:
    """A block out of which SQLite's errors come as typed ones.

    Args:
        path: the object or directory that the block is about.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        # A transaction that fails is rolled back, so the operation did not run.
        raise _BY_CODE.get(code, StorageError)(
            str(error), path=path, executed=Executed.NO
        ) from error

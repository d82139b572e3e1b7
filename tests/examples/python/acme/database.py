"""The SQLite file: its tables, its connections, one transaction an operation."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storagebus.drivers.errors import InvalidParameterError, InvalidStateError

from .errors import typed

IDLE_CONNECTIONS_MAX = 16
MODE_PAUSE_S = 0.02

_TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    path TEXT PRIMARY KEY, content TEXT NOT NULL, size INTEGER NOT NULL,
    mod_time_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, path TEXT NOT NULL, state TEXT NOT NULL, size INTEGER NOT NULL,
    generation INTEGER NOT NULL, touched_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_by_path ON uploads (path, state);
CREATE INDEX IF NOT EXISTS uploads_by_age ON uploads (touched_us);
CREATE TABLE IF NOT EXISTS pieces (
    content TEXT NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL, seal BLOB NOT NULL,
    PRIMARY KEY (content, at)
);
CREATE TABLE IF NOT EXISTS garbage (
    content TEXT PRIMARY KEY, since_us INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Database:
    """Connections to one file, as many as there are calls at once.

    Args:
        file: absolute path; made when it is missing, its directory is not.
        busy_s: seconds that a transaction waits for those of others.

    Raises:
        InvalidParameterError: the directory is missing.
        StorageError: the file cannot be used.
    """

    def __init__(self, file: str, busy_s: int) -> None:
        if not Path(file).parent.is_dir():
            raise InvalidParameterError(
                f"parameter 'database': there is no directory {Path(file).parent}"
            )
        self._file = file
        self._busy_s = busy_s
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._pid = os.getpid()
        with typed(None):
            self._set_mode()
        with self.transaction(None) as connection:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)

    @contextmanager
    def transaction(
        self, path: str | None, *, durable: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """A transaction that writes: all of the block, or nothing.

        Args:
            path: the object or directory that it is about, for errors.
            durable: whether it, and all before it, must survive a loss of power when
                it is over; any survives the death of the process.
        """
        # The lock on the file is taken at once and not at the first change, so that
        # a transaction that has waited in vain has not done anything.
        begin = "BEGIN IMMEDIATE"
        with self._transaction(begin, path, durable=durable) as connection:
            yield connection

    @contextmanager
    def snapshot(self, path: str | None) -> Iterator[sqlite3.Connection]:
        """A transaction that reads one state of the store; never waits for writers."""
        with self._transaction("BEGIN", path) as connection:
            yield connection

    def close(self) -> None:
        """Close the connections; those in use close when their call ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        if os.getpid() == self._pid:
            for connection in idle:
                connection.close()

    def _set_mode(self) -> None:
        """Let readers and a writer work side by side; the file remembers it.

        SQLite does not wait for others here. The workers of a pool start at the same
        time, so we do.
        """
        ends = time.monotonic() + self._busy_s
        connection = self._take()
        try:
            while True:
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                    return
                except sqlite3.OperationalError as error:
                    is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                    if not is_busy or time.monotonic() > ends:
                        raise
                time.sleep(MODE_PAUSE_S)
        finally:
            self._give_back(connection)

    @contextmanager
    def _transaction(
        self, begin: str, path: str | None, *, durable: bool = False
    ) -> Iterator[sqlite3.Connection]:
        with typed(path):
            connection = self._take()
            try:
                sync = "FULL" if durable else "NORMAL"
                connection.execute(f"PRAGMA synchronous = {sync}")
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        if os.getpid() != self._pid:
            # SQLite's locks belong to the process that opened the file.
            raise InvalidStateError(
                f"the driver was made in process {self._pid}, from which this one "
                "was forked; make it anew"
            )
        with self._lock:
            if self._closed:
                raise InvalidStateError("the driver is closed")
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < IDLE_CONNECTIONS_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> sqlite3.Connection:
        # A connection serves one call at a time, but not always from the same thread.
        return sqlite3.connect(
            self._file,
            timeout=self._busy_s,
            isolation_level=None,
            check_same_thread=False,
        )

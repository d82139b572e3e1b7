"""Objects by path, and the directories that lie between them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from storagebus.drivers.contract import FileInfo
from storagebus.drivers.errors import PathNotFoundError

from .contents import discard, now_us

_PAST_SLASH = "0"
"""The character after "/": paths below /a come from "/a/" on, and before "/a0"."""
_BELOW = "path >= :path || '/' AND path < :path || '0'"


@dataclass(frozen=True, slots=True)
class Stored:
    """A committed object.

    Attributes:
        path: where it lies.
        content: its content, which is also its identity.
        size: in bytes.
        mod_time_us: time of its commit.
    """

    path: str
    content: str
    size: int
    mod_time_us: int

    def info(self) -> FileInfo:
        """What `stat` says of it."""
        mod_time = datetime.fromtimestamp(self.mod_time_us / 1e6, UTC)
        return FileInfo(self.path, self.size, mod_time, False, self.content)


def find(connection: sqlite3.Connection, path: str) -> Stored | None:
    """The object at a path, or None."""
    row = connection.execute("SELECT * FROM objects WHERE path = ?", (path,)).fetchone()
    return None if row is None else Stored(*row)


def get(connection: sqlite3.Connection, path: str) -> Stored:
    """The object at a path.

    Raises:
        PathNotFoundError: none.
    """
    stored = find(connection, path)
    if stored is None:
        raise PathNotFoundError(path=path)
    return stored


def put(connection: sqlite3.Connection, path: str, content: str, size: int) -> None:
    """Make a content the object at a path."""
    stored = Stored(path, content, size, now_us())
    _place(connection, stored)


def move(connection: sqlite3.Connection, source: str, destination: str) -> None:
    """Move an object.

    Raises:
        PathNotFoundError: there is none.
    """
    stored = get(connection, source)
    connection.execute("DELETE FROM objects WHERE path = ?", (source,))
    _place(
        connection,
        Stored(destination, stored.content, stored.size, stored.mod_time_us),
    )


def remove(connection: sqlite3.Connection, path: str) -> bool:
    """Remove an object and all below its path; whether there was anything."""
    where = f"path = :path OR {_BELOW}"
    contents = connection.execute(
        f"SELECT content FROM objects WHERE {where}", {"path": path}
    ).fetchall()
    for (content,) in contents:
        discard(connection, content)
    connection.execute(f"DELETE FROM objects WHERE {where}", {"path": path})
    return bool(contents)


def kept_below(connection: sqlite3.Connection, path: str) -> list[str]:
    """Ids of the uploads that are kept for a path and below it."""
    found = connection.execute(
        f"SELECT id FROM uploads WHERE state = 'kept' AND (path = :path OR {_BELOW})",
        {"path": path},
    )
    return [upload_id for (upload_id,) in found]


def children(connection: sqlite3.Connection, directory: str) -> list[str]:
    """Paths of the objects and directories right below a directory, in byte order.

    One look-up for each child, however much lies below it.
    """
    prefix = directory.rstrip("/") + "/"
    end = prefix[:-1] + _PAST_SLASH
    found: set[str] = set()
    start = prefix
    while True:
        row = connection.execute(
            "SELECT path FROM objects WHERE path >= ? AND path < ?"
            " ORDER BY path LIMIT 1",
            (start, end),
        ).fetchone()
        if row is None:
            return sorted(found)
        name, slash, _ = row[0].removeprefix(prefix).partition("/")
        child = prefix + name
        found.add(child)
        # No character of a path comes before "!".
        start = child + (_PAST_SLASH if slash else "!")


def _place(connection: sqlite3.Connection, stored: Stored) -> None:
    before = find(connection, stored.path)
    if before is not None:
        discard(connection, before.content)
    connection.execute(
        "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)",
        (stored.path, stored.content, stored.size, stored.mod_time_us),
    )

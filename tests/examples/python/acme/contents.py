"""Contents: bytes in pieces, sealed, under an identity that is never used twice."""

from __future__ import annotations

import hmac
import sqlite3
import time
from hashlib import blake2b

from storagebus.drivers.errors import DataLossError
from storagebus.drivers.progress import step

PIECE_BYTES = 262_144
SEAL_BYTES = 16
GARBAGE_AGE_US = 15 * 60 * 1_000_000
"""A content that was replaced stays this long, for the readers that are at it."""
SWEPT_PIECES_MAX = 256
COPIED_PIECES_MAX = 64
"""Pieces that are copied between two signs of progress."""


class Contents:
    """The pieces of all contents.

    Args:
        sealkey: secret for the seals; b"" makes them mere checksums.
    """

    def __init__(self, sealkey: bytes) -> None:
        self._sealkey = sealkey

    def add(
        self, connection: sqlite3.Connection, content: str, at: int, data: bytes
    ) -> None:
        """Append bytes to a content that ends at `at`."""
        view = memoryview(data)
        for start in range(0, len(data), PIECE_BYTES):
            piece = view[start : start + PIECE_BYTES]
            connection.execute(
                "INSERT INTO pieces VALUES (?, ?, ?, ?)",
                (content, at + start, piece, self._seal(at + start, piece)),
            )

    def copy(self, connection: sqlite3.Connection, source: str, content: str) -> None:
        """Copy all pieces of a content to a new one."""
        copied_to = -1
        while copied_to is not None:
            connection.execute(
                "INSERT INTO pieces SELECT ?, at, data, seal FROM pieces"
                " WHERE content = ? AND at > ? ORDER BY at LIMIT ?",
                (content, source, copied_to, COPIED_PIECES_MAX),
            )
            (copied_to,) = connection.execute(
                "SELECT max(at) FROM pieces WHERE content = ? AND at > ?",
                (content, copied_to),
            ).fetchone()
            # The caller's wait begins anew: this is slow, but it does not hang.
            step()

    def piece(
        self, connection: sqlite3.Connection, path: str, content: str, offset: int
    ) -> tuple[int, bytes]:
        """The piece that holds a byte: its offset, and its bytes.

        Raises:
            DataLossError: it is gone, or is not as it was stored.
        """
        found = connection.execute(
            "SELECT at, data, seal FROM pieces WHERE content = ? AND at <= ?"
            " ORDER BY at DESC LIMIT 1",
            (content, offset),
        ).fetchone()
        if found is None or found[0] + len(found[1]) <= offset:
            raise DataLossError(
                "the object was replaced or deleted long ago, or a piece is missing",
                path=path,
                offset=offset,
            )
        at, data, seal = found
        if not hmac.compare_digest(seal, self._seal(at, data)):
            raise DataLossError(
                "a piece was damaged, or was stored with another sealkey",
                path=path,
                offset=at,
            )
        return at, data

    def _seal(self, at: int, data: bytes | memoryview) -> bytes:
        # The offset is part of it, so that pieces cannot trade places.
        person = at.to_bytes(16, "big")
        return blake2b(
            data, digest_size=SEAL_BYTES, key=self._sealkey, person=person
        ).digest()


def discard(connection: sqlite3.Connection, content: str) -> None:
    """Nothing refers to a content any more; `sweep` will remove it."""
    connection.execute(
        "INSERT OR IGNORE INTO garbage VALUES (?, ?)", (content, now_us())
    )


def sweep(connection: sqlite3.Connection) -> None:
    """Remove some pieces of the oldest garbage: a bounded amount of work."""
    oldest = connection.execute(
        "SELECT content FROM garbage WHERE since_us < ? ORDER BY since_us LIMIT 1",
        (now_us() - GARBAGE_AGE_US,),
    ).fetchone()
    if oldest is None:
        return
    removed = connection.execute(
        "DELETE FROM pieces WHERE rowid IN"
        " (SELECT rowid FROM pieces WHERE content = ? LIMIT ?)",
        (*oldest, SWEPT_PIECES_MAX),
    )
    if removed.rowcount < SWEPT_PIECES_MAX:
        connection.execute("DELETE FROM garbage WHERE content = ?", oldest)


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1_000

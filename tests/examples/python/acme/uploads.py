"""Uploads in the making: which are kept, and who may go on with them.

An upload is `open` while its first writer is at work, `kept` once a writer was closed
without a commit, then `committed`. At most one a path is kept. Its id is the identity
of the content that it fills.

The generation is the fence: a claim raises it, and every write looks at it in the
transaction that writes. So there is no moment between the look and the write.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass

from storagebus.drivers.contract import UploadState, UploadStatus
from storagebus.drivers.errors import UploadNotFoundError, UploadSupersededError

from .contents import discard, now_us

UPLOAD_AGE_US = 7 * 24 * 3_600 * 1_000_000
REAPED_AT_ONCE_MAX = 8
_UNFINISHED = "state IN ('open', 'kept')"


@dataclass(frozen=True, slots=True)
class Claim:
    """A writer's right to an upload.

    Attributes:
        path: the object to be.
        upload_id: the upload, and the content that it fills.
        generation: how often it has been claimed, from 1.
    """

    path: str
    upload_id: str
    generation: int = 1


def new_id() -> str:
    """A name that no upload and no content ever had."""
    return secrets.token_hex(16)


def begin(connection: sqlite3.Connection, path: str, size: int = 0) -> Claim:
    """A new upload that holds `size` bytes already, or will when they are copied."""
    claim = Claim(path, new_id())
    connection.execute(
        "INSERT INTO uploads VALUES (?, ?, 'open', ?, 1, ?)",
        (claim.upload_id, path, size, now_us()),
    )
    return claim


def take_over(
    connection: sqlite3.Connection, path: str, upload_id: str
) -> tuple[Claim, int]:
    """Claim an upload, from whoever has it; also returns the bytes that it holds.

    Raises:
        UploadNotFoundError: none of that id is unfinished.
    """
    found = connection.execute(
        "SELECT size, generation FROM uploads"
        f" WHERE id = ? AND path = ? AND {_UNFINISHED}",
        (upload_id, path),
    ).fetchone()
    if found is None:
        raise UploadNotFoundError(f"no upload {upload_id} is open", path=path)
    size, generation = found
    connection.execute(
        "UPDATE uploads SET generation = ?, touched_us = ? WHERE id = ?",
        (generation + 1, now_us(), upload_id),
    )
    return Claim(path, upload_id, generation + 1), size


def kept(connection: sqlite3.Connection, path: str) -> str | None:
    """Id of the upload that is kept for a path, or None."""
    found = connection.execute(
        "SELECT id FROM uploads WHERE path = ? AND state = 'kept'", (path,)
    ).fetchone()
    return None if found is None else str(found[0])


def check(connection: sqlite3.Connection, claim: Claim) -> None:
    """Make sure that a claim is the upload's last.

    Raises:
        UploadSupersededError: it is not, or the upload is no more.
    """
    found = connection.execute(
        f"SELECT generation FROM uploads WHERE id = ? AND {_UNFINISHED}",
        (claim.upload_id,),
    ).fetchone()
    if found != (claim.generation,):
        raise UploadSupersededError(
            "it was claimed, replaced, deleted or reaped meanwhile", path=claim.path
        )


def grow(connection: sqlite3.Connection, claim: Claim, size: int) -> None:
    """Note that an upload holds `size` bytes now."""
    connection.execute(
        "UPDATE uploads SET size = ?, touched_us = ? WHERE id = ?",
        (size, now_us(), claim.upload_id),
    )


def keep(connection: sqlite3.Connection, claim: Claim) -> None:
    """Keep an upload, in place of any other that is kept for its path."""
    other = kept(connection, claim.path)
    if other is not None and other != claim.upload_id:
        drop(connection, other)
    _set_state(connection, claim, "kept")


def finish(connection: sqlite3.Connection, claim: Claim) -> None:
    """Remember that an upload was committed."""
    _set_state(connection, claim, "committed")


def drop(connection: sqlite3.Connection, upload_id: str) -> None:
    """Forget an unfinished upload, with its bytes."""
    connection.execute("DELETE FROM uploads WHERE id = ?", (upload_id,))
    discard(connection, upload_id)


def reap(connection: sqlite3.Connection) -> None:
    """Forget a few uploads that nobody has touched for long."""
    old = connection.execute(
        "SELECT id, state FROM uploads WHERE touched_us < ?"
        " ORDER BY touched_us LIMIT ?",
        (now_us() - UPLOAD_AGE_US, REAPED_AT_ONCE_MAX),
    ).fetchall()
    for upload_id, state in old:
        if state == "committed":  # its content is an object's, or garbage already
            connection.execute("DELETE FROM uploads WHERE id = ?", (upload_id,))
        else:
            drop(connection, upload_id)


def status(connection: sqlite3.Connection, path: str, upload_id: str) -> UploadStatus:
    """What became of an upload."""
    found = connection.execute(
        "SELECT state, size FROM uploads WHERE id = ? AND path = ?", (upload_id, path)
    ).fetchone()
    if found is None:
        return UploadStatus(UploadState.UNKNOWN)
    state, size = found
    if state == "committed":
        return UploadStatus(UploadState.COMMITTED, identity=upload_id)
    return UploadStatus(UploadState.OPEN, durable=size)


def _set_state(connection: sqlite3.Connection, claim: Claim, state: str) -> None:
    connection.execute(
        "UPDATE uploads SET state = ?, touched_us = ? WHERE id = ?",
        (state, now_us(), claim.upload_id),
    )

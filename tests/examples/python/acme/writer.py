"""Writing an upload, a piece at a time."""

from __future__ import annotations

import sqlite3

from storagebus.drivers.contract import Writer
from storagebus.drivers.errors import UploadSupersededError

from . import objects, uploads
from .contents import PIECE_BYTES, Contents
from .database import Database
from .uploads import Claim


class AcmeWriter(Writer):
    """Gathers whole pieces in memory, so `durable` is less than `size`.

    `Checked` makes sure that nothing is called after commit, cancel or close.

    Args:
        database: where the upload lies.
        contents: its pieces.
        claim: the right to it.
        size: bytes that it holds.
    """

    def __init__(
        self, database: Database, contents: Contents, claim: Claim, size: int
    ) -> None:
        self.upload_id = claim.upload_id
        self.generation = claim.generation
        self._database = database
        self._contents = contents
        self._claim = claim
        self._durable = size
        self._rest = bytearray()
        self._superseded = False

    @property
    def size(self) -> int:
        return self._durable + len(self._rest)

    @property
    def durable(self) -> int:
        return self._durable

    def write(self, data: bytes | bytearray | memoryview) -> int:
        if not self._superseded and len(self._rest) + len(data) < PIECE_BYTES:
            self._rest += data
            return len(data)
        joined = bytes(self._rest) + data
        whole = len(joined) - len(joined) % PIECE_BYTES
        self._store(joined[:whole])
        # Only now: a write that failed has taken nothing.
        self._rest = bytearray(joined[whole:])
        return len(data)

    def commit(self) -> None:
        claim = self._claim
        with self._database.transaction(claim.path, durable=True) as connection:
            self._check(connection)
            self._contents.add(
                connection, claim.upload_id, self._durable, bytes(self._rest)
            )
            uploads.finish(connection, claim)
            objects.put(connection, claim.path, claim.upload_id, self.size)
        self._durable += len(self._rest)
        self._rest.clear()

    def cancel(self) -> None:
        try:
            with self._database.transaction(self._claim.path) as connection:
                self._check(connection)
                uploads.drop(connection, self._claim.upload_id)
        except UploadSupersededError:
            pass  # what is there now is another's

    def close(self) -> None:
        try:
            self._store(bytes(self._rest), keep=True)
        except UploadSupersededError:
            return  # its new owner keeps it
        self._rest.clear()

    def _store(self, data: bytes, *, keep: bool = False) -> None:
        claim, size = self._claim, self._durable + len(data)
        with self._database.transaction(claim.path) as connection:
            self._check(connection)
            self._contents.add(connection, claim.upload_id, self._durable, data)
            uploads.grow(connection, claim, size)
            if keep:
                uploads.keep(connection, claim)
        self._durable = size

    def _check(self, connection: sqlite3.Connection) -> None:
        """Make sure that the upload is still this writer's."""
        try:
            uploads.check(connection, self._claim)
        except UploadSupersededError:
            self._superseded = True  # a write into memory alone would not notice
            raise

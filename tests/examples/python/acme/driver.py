"""The driver: what each operation does to the database."""

from __future__ import annotations

from storagebus.drivers import (
    Capabilities,
    FileInfo,
    Reader,
    StorageDriver,
    UploadStatus,
    Writer,
)
from storagebus.drivers.errors import PathNotFoundError, PreconditionError
from storagebus.drivers.parameters import parse_parameters
from storagebus.drivers.standing import check_standing

from . import objects, uploads
from .contents import Contents, sweep
from .database import Database
from .parameters import PARAMETERS
from .reader import AcmeReader
from .writer import AcmeWriter

__all__ = ["PARAMETERS", "AcmeDriver"]


class AcmeDriver(StorageDriver):
    """Objects in one SQLite file, which several processes of a host may share.

    Args:
        given: see `PARAMETERS`.

    Raises:
        InvalidParameterError: a parameter is unknown, missing or wrong.
        StorageError: the file cannot be used.
    """

    name = "acme"
    capabilities = Capabilities(
        identity=True,
        resume=True,
        nested_objects=True,
        shared=True,
    )

    def __init__(self, **given: object) -> None:
        values = parse_parameters(self.name, PARAMETERS, given)
        self._database = Database(values["database"], values["busyseconds"])
        self._contents = Contents(values["sealkey"])

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> Reader:
        with self._database.snapshot(path) as connection:
            stored = objects.get(connection, path)
        if if_match is not None and if_match != stored.content:
            raise PreconditionError("the object has changed", path=path)
        return AcmeReader(self._database, self._contents, stored, offset, length)

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> Writer:
        with self._database.transaction(path) as connection:
            uploads.reap(connection)
            sweep(connection)
            if upload_id is None and append:
                upload_id = uploads.kept(connection, path)
            if upload_id is not None:
                claim, size = uploads.take_over(connection, path, upload_id)
            else:
                old = objects.find(connection, path) if append else None
                size = old.size if old else 0
                claim = uploads.begin(connection, path, size)
                if old:
                    self._contents.copy(connection, old.content, claim.upload_id)
        return AcmeWriter(self._database, self._contents, claim, size)

    def put_content(self, path: str, content: bytes | bytearray | memoryview) -> None:
        """One transaction instead of two."""
        identity = uploads.new_id()
        with self._database.transaction(path, durable=True) as connection:
            sweep(connection)
            self._contents.add(connection, identity, 0, bytes(content))
            objects.put(connection, path, identity, len(content))
            check_standing()

    def stat(self, path: str) -> FileInfo:
        with self._database.snapshot(path) as connection:
            stored = objects.find(connection, path)
            if stored is not None:
                return stored.info()
            if path != "/" and not objects.children(connection, path):
                raise PathNotFoundError(path=path)
        return FileInfo(path, 0, None, is_dir=True)

    def list(self, path: str) -> list[str]:
        with self._database.snapshot(path) as connection:
            found = objects.children(connection, path)
        if not found and path != "/":
            raise PathNotFoundError(path=path)
        return found

    def move(self, source: str, destination: str) -> None:
        with self._database.transaction(source, durable=True) as connection:
            objects.move(connection, source, destination)
            check_standing()

    def delete(self, path: str) -> None:
        with self._database.transaction(path, durable=True) as connection:
            kept = objects.kept_below(connection, path)
            for upload_id in kept:
                uploads.drop(connection, upload_id)
            if not objects.remove(connection, path) and not kept:
                raise PathNotFoundError(path=path)
            check_standing()

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        with self._database.snapshot(path) as connection:
            return uploads.status(connection, path, upload_id)

    def close(self) -> None:
        self._database.close()

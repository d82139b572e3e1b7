"""What the contract asks for, as far as every object store does it alike."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from ..contract import FileInfo, StorageDriver, UploadStatus, Writer
from ..errors import InvalidPathError, PathNotFoundError
from .clients import Clients
from .listing import directory_info, exists_below
from .reaper import Reaper
from .store import KEY_BYTES_MAX, Store

PUT_BYTES_MAX = 64 << 20
"""`put_content` sends more than this as a stream of parts."""


class Uploads(Protocol):
    """The uploads to a store."""

    def open(self, path: str, append: bool, upload_id: str | None) -> Writer:
        """A writer, as `StorageDriver.writer` has it."""
        ...

    def status(self, path: str, upload_id: str) -> UploadStatus:
        """What became of an upload."""
        ...

    def drop_below(self, path: str) -> bool:
        """Drop the uploads kept for a path and below it; whether there were any."""
        ...


class ObjectStoreDriver(StorageDriver):
    """A driver over a store.

    Args:
        store: where the objects are.
        clients: what talks to it.
        uploads: the uploads to it.
        reaper: drops old ones.
        beside_bytes: what the longest key of an upload has besides root and path.
    """

    def __init__(
        self,
        store: Store,
        clients: Clients,
        uploads: Uploads,
        reaper: Reaper,
        beside_bytes: int,
    ) -> None:
        self._store = store
        self._clients = clients
        self._uploads = uploads
        self._reaper = reaper
        self._path_bytes_max = KEY_BYTES_MAX - len(store.root) - beside_bytes

    def put_content(self, path: str, content: bytes | bytearray | memoryview) -> None:
        self._check_length(path)
        if len(content) > PUT_BYTES_MAX:
            super().put_content(path, content)
        else:
            self._put(path, bytes(content))

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> Writer:
        self._check_length(path)
        self._reaper.upload_made()
        return self._uploads.open(path, append, upload_id)

    def stat(self, path: str) -> FileInfo:
        if path == "/":
            return directory_info(path)
        found = self._store.find(path)
        if found is not None:
            return found.info(path)
        if exists_below(self._store, path):
            return directory_info(path)
        raise PathNotFoundError(path=path)

    def delete(self, path: str) -> None:
        store = self._store
        found = self._uploads.drop_below(path)
        if store.find(path) is not None:
            store.delete(store.key(path), path)
            found = True
        below = store.keys(store.directory_key(path), path)
        if not store.delete_keys(below, path) and not found:
            raise PathNotFoundError(path=path)

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        return self._uploads.status(path, upload_id)

    def close(self) -> None:
        self._clients.close()

    @abstractmethod
    def _put(self, path: str, content: bytes) -> None:
        """Store an object in one request."""

    def _check_length(self, path: str) -> None:
        if len(path) > self._path_bytes_max:
            raise InvalidPathError(
                f"longer than the {self._path_bytes_max} bytes that keys leave",
                path=path,
            )

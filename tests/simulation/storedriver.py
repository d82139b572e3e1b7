"""A worker's driver for the simulated store, and what goes wrong in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storagebus.drivers.contract import (
    Capabilities,
    FileInfo,
    Reader,
    StorageDriver,
    UploadStatus,
    Writer,
)
from storagebus.drivers.errors import (
    Executed,
    PathNotFoundError,
    StorageError,
    ThrottledError,
    UnavailableError,
)
from storagebus.drivers.memoryreader import MemoryReader
from storagebus.drivers.paths import ROOT
from storagebus.drivers.refusals import changed
from storagebus.drivers.standing import check_standing

from .store import Store, StoredUpload


class Mishaps:
    """What goes wrong in the next driver call.

    Attributes:
        before: raised before it has an effect.
        after: raised after it.
    """

    def __init__(self) -> None:
        self.before: Callable[[], StorageError] | None = None
        self.after: Callable[[], StorageError] | None = None

    def strike_before(self) -> None:
        """The call is about to have its effect."""
        before, self.before = self.before, None
        if before is not None:
            raise before()

    def strike_after(self) -> None:
        """The call has had it."""
        after, self.after = self.after, None
        if after is not None:
            raise after()


def throttled() -> StorageError:
    """The store is busy, and has done nothing."""
    return ThrottledError("simulated", retry_after_s=0.05, executed=Executed.NO)


def unavailable() -> StorageError:
    """The store has not answered."""
    return UnavailableError("simulated", executed=Executed.MAYBE)


class StoreDriver(StorageDriver):
    """The driver.

    Args:
        store: the store.
        part_bytes: bytes of an upload that go to the store together.

    Attributes:
        mishaps: what goes wrong.
    """

    name = "store"
    capabilities = Capabilities(identity=True, resume=True, walk_in_order=True)

    def __init__(self, store: Store, part_bytes: int) -> None:
        self._store = store
        self._part_bytes = part_bytes
        self.mishaps = Mishaps()

    def put_content(self, path: str, content: Any) -> None:
        self.mishaps.strike_before()
        check_standing()
        self._store.put(path, bytes(content))
        self.mishaps.strike_after()

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> Reader:
        self.mishaps.strike_before()
        self._store.check_home(path)
        stored = self._store.shelf.get(path)
        if if_match is not None and if_match != stored.identity:
            raise changed(path)
        return StoreReader(stored, path, offset, length, self.mishaps)

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> Writer:
        self.mishaps.strike_before()
        store = self._store
        upload: StoredUpload | None = None
        if upload_id is not None:
            upload = store.claim(path, upload_id)
        elif append:
            upload = store.claim_kept(path)
        if upload is None:
            is_there = append and store.shelf.find(path) is not None
            upload = store.begin(path, store.content(path) if is_there else b"")
        self.mishaps.strike_after()
        return StoreWriter(store, upload, self._part_bytes, self.mishaps)

    def stat(self, path: str) -> FileInfo:
        self.mishaps.strike_before()
        self._store.check_home(path)
        stored = self._store.shelf.find(path)
        if stored is not None:
            return stored.info(path)
        if self._store.shelf.is_directory(path):
            return FileInfo(path, 0, None, True)
        raise PathNotFoundError(path=path)

    def list(self, path: str) -> list[str]:
        self.mishaps.strike_before()
        found = self._store.shelf.children(path)
        if not found and path != ROOT:
            raise PathNotFoundError(path=path)
        return found

    def move(self, source: str, destination: str) -> None:
        self.mishaps.strike_before()
        check_standing()
        self._store.move(source, destination)
        self.mishaps.strike_after()

    def delete(self, path: str) -> None:
        self.mishaps.strike_before()
        check_standing()
        if not self._store.delete(path):
            raise PathNotFoundError(path=path)
        self.mishaps.strike_after()

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        self.mishaps.strike_before()
        return self._store.status(path, upload_id)


class StoreReader(MemoryReader):
    """A reader whose store may fail."""

    def __init__(
        self,
        stored: Any,
        path: str,
        offset: int,
        length: int | None,
        mishaps: Mishaps,
    ) -> None:
        super().__init__(stored, path, offset, length)
        self._mishaps = mishaps

    def read(self, size: int | None = -1, /) -> bytes:
        self._mishaps.strike_before()
        return super().read(size)


class StoreWriter(Writer):
    """A writer that gathers parts."""

    def __init__(
        self, store: Store, upload: StoredUpload, part_bytes: int, mishaps: Mishaps
    ) -> None:
        self.upload_id = upload.upload_id
        self.generation = upload.generation
        self._store = store
        self._upload = upload
        self._part_bytes = part_bytes
        self._mishaps = mishaps
        self._gathered = bytearray()
        self._durable = len(upload.data)

    @property
    def size(self) -> int:
        return self._durable + len(self._gathered)

    @property
    def durable(self) -> int:
        return self._durable

    def write(self, data: Any) -> int:
        self._store.check_owner(self._upload, self.generation)
        self._mishaps.strike_before()
        self._gathered += data
        if len(self._gathered) >= self._part_bytes:
            self._flush()
        self._mishaps.strike_after()
        return len(data)

    def commit(self) -> None:
        self._store.check_owner(self._upload, self.generation)
        self._mishaps.strike_before()
        self._flush()
        check_standing()
        self._store.commit(self._upload)
        self._mishaps.strike_after()

    def cancel(self) -> None:
        self._mishaps.strike_before()
        if self._store.owns(self._upload, self.generation):
            self._store.drop(self._upload)

    def close(self) -> None:
        if self._store.owns(self._upload, self.generation):
            self._mishaps.strike_before()
            self._flush()
            self._store.keep(self._upload)

    def _flush(self) -> None:
        self._upload.data += self._gathered
        self._durable = len(self._upload.data)
        self._gathered.clear()

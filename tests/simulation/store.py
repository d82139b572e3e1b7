"""The store behind the workers of a service: what a cloud's would be.

It outlives its workers and is shared by them. Uploads have names and generations: who
claims one fences its former writer off. A worker's driver keeps the last bytes of an
upload to itself until it has a part's worth, so that its death loses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from storagebus.drivers.blocks import Blocks
from storagebus.drivers.contract import UploadState, UploadStatus
from storagebus.drivers.refusals import no_upload, superseded
from storagebus.drivers.shelf import Shelf, Stored

from .ledger import Ledger
from .violation import require

MOD_TIME = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class StoredUpload:
    """An upload in the making.

    Attributes:
        path: the object to be.
        upload_id: its name.
        data: what the store has of it.
        generation: how often it has been claimed, from 1.
    """

    path: str
    upload_id: str
    data: bytearray
    generation: int = 1


class Store:
    """Objects and uploads.

    Args:
        ledger: told of every change that can be seen.
        service: whose it is; all its paths begin with that name.

    Attributes:
        shelf: the objects.
        uploads: those in the making, by name.
    """

    def __init__(self, ledger: Ledger, service: str) -> None:
        self.ledger = ledger
        self.service = service
        self.shelf = Shelf()
        self.uploads: dict[str, StoredUpload] = {}
        self._kept: dict[str, StoredUpload] = {}
        self._committed: dict[tuple[str, str], str] = {}
        self._claimed: dict[tuple[str, int], bytes] = {}
        self._identities = 0
        self._uploads_begun = 0

    def check_home(self, path: str) -> None:
        """No service does what another was asked for."""
        is_here = path.startswith(f"/{self.service}/")
        require(is_here, f"{path} was asked of {self.service}")

    def content(self, path: str) -> bytes:
        """An object's bytes.

        Raises:
            PathNotFoundError: none.
        """
        blocks = self.shelf.get(path).content
        return blocks.read(0, blocks.size)

    def put(self, path: str, content: bytes) -> str:
        """Store an object; returns its identity."""
        self.check_home(path)
        self._identities += 1
        identity = f"v{self._identities}"
        blocks = Blocks((content,) if content else ())
        self.shelf.put(path, Stored(blocks, MOD_TIME, identity))
        self.ledger.stored(path, content)
        return identity

    def move(self, source: str, destination: str) -> None:
        """Move an object."""
        content = self.content(source)
        self.shelf.move(source, destination)
        self.ledger.moved(source, destination, content)

    def delete(self, path: str) -> bool:
        """Delete one object; whether there was one."""
        self._drop_kept(path)
        if not self.shelf.remove(path):
            return False
        self.ledger.deleted(path)
        return True

    # -- uploads --------------------------------------------------------------

    def begin(self, path: str, start: bytes) -> StoredUpload:
        """A new upload."""
        self.shelf.check_free(path)
        self.check_home(path)
        self._uploads_begun += 1
        name = f"{self.service}-{self._uploads_begun}"
        upload = StoredUpload(path, name, bytearray(start))
        self.uploads[upload.upload_id] = upload
        return upload

    def claimed(self, upload_id: str, generation: int) -> bytes:
        """What an upload held when it was claimed."""
        return self._claimed[upload_id, generation]

    def claim(self, path: str, upload_id: str) -> StoredUpload:
        """Take an upload over.

        Raises:
            UploadNotFoundError: there is none.
        """
        upload = self.uploads.get(upload_id)
        if upload is None or upload.path != path:
            raise no_upload(path, upload_id)
        upload.generation += 1
        self._claimed[upload_id, upload.generation] = bytes(upload.data)
        return upload

    def claim_kept(self, path: str) -> StoredUpload | None:
        """Take over what is kept for a path."""
        kept = self._kept.get(path)
        return None if kept is None else self.claim(path, kept.upload_id)

    def check_owner(self, upload: StoredUpload, generation: int) -> None:
        """Refuse who is fenced off.

        Raises:
            UploadSupersededError: it was claimed, or is over.
        """
        if not self.owns(upload, generation):
            raise superseded(upload.path)

    def owns(self, upload: StoredUpload, generation: int) -> bool:
        """Whether a generation of an upload is the present one."""
        is_open = self.uploads.get(upload.upload_id) is upload
        return is_open and upload.generation == generation

    def keep(self, upload: StoredUpload) -> None:
        """Keep an upload for its path, in place of another."""
        before = self._kept.get(upload.path)
        if before is not None and before is not upload:
            self.drop(before)
        self._kept[upload.path] = upload

    def drop(self, upload: StoredUpload) -> None:
        """Forget an upload."""
        self.uploads.pop(upload.upload_id, None)
        if self._kept.get(upload.path) is upload:
            del self._kept[upload.path]

    def commit(self, upload: StoredUpload) -> None:
        """Make an upload the object."""
        identity = self.put(upload.path, bytes(upload.data))
        self.drop(upload)
        self._committed[upload.path, upload.upload_id] = identity

    def status(self, path: str, upload_id: str) -> UploadStatus:
        """What became of an upload."""
        upload = self.uploads.get(upload_id)
        if upload is not None and upload.path == path:
            return UploadStatus(UploadState.OPEN, durable=len(upload.data))
        identity = self._committed.get((path, upload_id))
        if identity is not None:
            return UploadStatus(UploadState.COMMITTED, identity=identity)
        return UploadStatus(UploadState.UNKNOWN)

    def _drop_kept(self, path: str) -> None:
        kept = self._kept.get(path)
        if kept is not None:
            self.drop(kept)

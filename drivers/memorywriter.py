"""A writer that fills an upload in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from .contract import Writer
from .gate import Gate
from .memoryuploads import Upload, Uploads
from .refusals import ended, superseded
from .shelf import Shelf, Stored
from .standing import check_standing


class MemoryWriter(Writer):
    """Adds to an upload; a commit puts it on the shelf.

    Args:
        upload: what it adds to.
        uploads: the driver's uploads.
        shelf: the driver's objects.
        gate: the driver's lock.
        identities: gives the next identity.
    """

    def __init__(
        self,
        upload: Upload,
        uploads: Uploads,
        shelf: Shelf,
        gate: Gate,
        identities: Iterator[str],
    ) -> None:
        self.upload_id = upload.upload_id
        self.generation = upload.generation
        self._upload = upload
        self._uploads = uploads
        self._shelf = shelf
        self._gate = gate
        self._identities = identities
        self._size = upload.data.size
        self._ended = False

    @property
    def size(self) -> int:
        return self._size

    @property
    def durable(self) -> int:
        """All of it: what would take the upload takes the whole store."""
        return self._size

    def write(self, data: bytes | bytearray | memoryview) -> int:
        with self._gate:
            self._check_owner()
            self._upload.data.append(data)
            self._size += len(data)
            self._uploads.touch(self._upload)
        return len(data)

    def commit(self) -> None:
        with self._gate:
            self._check_owner()
            check_standing()
            content = self._upload.data.freeze()
            stored = Stored(content, datetime.now(UTC), next(self._identities))
            self._shelf.put(self._upload.path, stored)
            self._uploads.committed(self._upload, stored.identity)
            self._ended = True

    def cancel(self) -> None:
        with self._gate:
            self._check_open()
            self._ended = True
            if self._uploads.owns(self._upload, self.generation):
                self._uploads.drop(self._upload)

    def close(self) -> None:
        if self._ended:
            return
        with self._gate:
            self._ended = True
            if self._uploads.owns(self._upload, self.generation):
                self._uploads.keep(self._upload)

    def _check_open(self) -> None:
        if self._ended:
            raise ended(self._upload.path)

    def _check_owner(self) -> None:
        self._check_open()
        if not self._uploads.owns(self._upload, self.generation):
            raise superseded(self._upload.path)

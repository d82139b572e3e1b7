"""The azure driver: what the contract asks for, in terms of a container."""

from __future__ import annotations

from typing import Any, ClassVar

from ..contract import Capabilities, FileInfo, StorageDriver, UploadStatus, Walk
from ..errors import AccessDeniedError, InvalidPathError, PathNotFoundError
from ..part_budget import PartBudget
from .blocks import OBJECT_BYTES_MAX
from .client import Clients
from .container import NAME_BYTES_MAX, UPLOADS, Container
from .copying import copy_blob
from .deleting import KEYS_MAX, delete_keys
from .listing import directory_info, entries, exists_below, names
from .parameters import PUBLIC, parse_options
from .reader import AzureReader, open_reader
from .reaper import Reaper
from .uploads import Uploads
from .walk import KeyWalk
from .writer import AzureWriter

UPLOAD_BYTES = len(UPLOADS) + len("/~") + 32
"""What the name of an upload has besides root and path."""
PUT_BYTES_MAX = 64 << 20
"""`put_content` sends more than this as a stream of blocks."""


class AzureDriver(StorageDriver):
    """A store in a container of Azure Blob Storage.

    Args:
        parameters: see `parameters.PARAMETERS`; `container`, `accountname` and
            credentials are required.

    Raises:
        InvalidParameterError: a parameter is unknown, missing or wrong.
    """

    name = "azure"
    public_parameters: ClassVar[frozenset[str]] = PUBLIC

    def __init__(self, **parameters: Any) -> None:
        self._options = parse_options(self.name, parameters)
        self._clients = Clients(self._options)
        self._container = Container(self._options, self._clients)
        self._budget = PartBudget(self._options.memorybudget)
        self._uploads = Uploads(self._container, self._budget)
        self._reaper = Reaper(self._container, self._uploads)
        self._path_bytes_max = NAME_BYTES_MAX - len(self._container.root) - UPLOAD_BYTES
        self.capabilities = Capabilities(
            redirects=self._options.credentials.type != "sas",
            identity=True,
            resume=True,
            nested_objects=True,
            walk_in_order=True,
            object_bytes_max=OBJECT_BYTES_MAX,
            path_bytes_max=self._path_bytes_max,
        )

    def get_content(self, path: str) -> bytes:
        with open_reader(self._container, self._budget, path) as stream:
            return stream.read()

    def put_content(self, path: str, content: bytes | bytearray | memoryview) -> None:
        self._check_length(path)
        if len(content) > PUT_BYTES_MAX:
            super().put_content(path, content)
            return
        self._container.put(self._container.key(path), bytes(content), path)

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> AzureReader:
        return open_reader(
            self._container, self._budget, path, offset, length, if_match
        )

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> AzureWriter:
        self._check_length(path)
        self._reaper.upload_made()
        return self._uploads.open(path, append, upload_id)

    def stat(self, path: str) -> FileInfo:
        if path == "/":
            return directory_info(path)
        found = self._container.head(self._container.key(path), path)
        if found is not None:
            return found.info(path)
        if exists_below(self._container, path):
            return directory_info(path)
        raise PathNotFoundError(path=path)

    def list(self, path: str) -> list[str]:
        return names(self._container, path)

    def move(self, source: str, destination: str) -> None:
        self._check_length(destination)
        key = self._container.key(source)
        found = self._container.head(key, source)
        if found is None:
            raise PathNotFoundError(path=source)
        copy_blob(self._container, key, found, self._container.key(destination), source)
        # Whoever replaced the source meanwhile keeps what they put there.
        self._container.delete(key, source, found.etag)

    def delete(self, path: str) -> None:
        found = self._uploads.drop_below(path)
        key = self._container.key(path)
        if self._container.head(key, path) is not None:
            self._container.delete(key, path)
            found = True
        batch = []
        prefix = self._container.directory_key(path)
        for below, _ in entries(self._container, prefix, path):
            found = True
            batch.append(below)
            if len(batch) == KEYS_MAX:
                delete_keys(self._container, batch, path)
                batch.clear()
        delete_keys(self._container, batch, path)
        if not found:
            raise PathNotFoundError(path=path)

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        return KeyWalk(self._container, path, start_after)

    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        if self._options.credentials.type == "sas":
            return None  # it may allow more than to read, and would be given away
        lifetime_s = min(expires, self._options.presignlifetime)
        try:
            return self._container.signer.url(self._container.key(path), lifetime_s)
        except AccessDeniedError:
            return None  # the role may read, but not sign; the bytes pass through us

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        return self._uploads.status(path, upload_id)

    def close(self) -> None:
        self._clients.close()

    def _check_length(self, path: str) -> None:
        if len(path) > self._path_bytes_max:
            raise InvalidPathError(
                f"longer than the {self._path_bytes_max} bytes that names leave",
                path=path,
            )

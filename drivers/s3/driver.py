"""The s3 driver: what the contract asks for, in terms of a bucket."""

from __future__ import annotations

from typing import Any, ClassVar

from ..contract import (
    Capabilities,
    FileInfo,
    StorageDriver,
    UploadStatus,
    Walk,
)
from ..errors import InvalidPathError, PathNotFoundError
from ..part_budget import PartBudget
from .bucket import KEY_BYTES_MAX, UPLOADS, Bucket
from .client import Clients, check_region
from .copying import copy_object
from .deleting import KEYS_MAX, delete_keys
from .listing import directory_info, exists_below, keys_below, names
from .order import Order
from .parameters import PART_BYTES_MIN, PUBLIC, parse_options
from .parts import OBJECT_BYTES_MAX
from .reader import S3Reader, open_reader, read_whole
from .reaper import Reaper
from .uploads import Uploads
from .walk import DirectoryWalk, KeyWalk
from .writer import S3Writer

RECORD_BYTES = len(UPLOADS) + len("/~/") + 32 + 8
"""What the key of an upload's record has besides root and path."""
PUT_BYTES_MAX = 64 << 20
"""`put_content` sends more than this as a stream of parts."""


class S3Driver(StorageDriver):
    """A store in a bucket of Amazon S3 or of a server that speaks its protocol.

    Args:
        parameters: see `parameters.PARAMETERS`; `region` and `bucket` are required.

    Raises:
        InvalidParameterError: a parameter is unknown, missing or wrong.
    """

    name = "s3"
    public_parameters: ClassVar[frozenset[str]] = PUBLIC

    def __init__(self, **parameters: Any) -> None:
        self._options = parse_options(self.name, parameters)
        check_region(self._options)
        self._clients = Clients(self._options)
        self._bucket = Bucket(self._options, self._clients)
        self._budget = PartBudget(self._options.memorybudget)
        self._uploads = Uploads(self._bucket, self._budget)
        self._reaper = Reaper(self._bucket, self._uploads)
        self._order = Order(self._bucket)
        self._path_bytes_max = KEY_BYTES_MAX - len(self._bucket.root) - RECORD_BYTES
        self.capabilities = Capabilities(
            redirects=not self._options.ssecustomerkey,
            identity=True,
            resume=True,
            nested_objects=True,
            walk_in_order=self._order.known_in_bytes,
            object_bytes_max=OBJECT_BYTES_MAX,
            path_bytes_max=self._path_bytes_max,
            part_bytes_min=PART_BYTES_MIN,
        )

    def get_content(self, path: str) -> bytes:
        return read_whole(self._bucket, path)

    def put_content(self, path: str, content: bytes | bytearray | memoryview) -> None:
        self._check_length(path)
        if len(content) > PUT_BYTES_MAX:
            super().put_content(path, content)
            return
        self._bucket.put(self._bucket.key(path), bytes(content), path)

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> S3Reader:
        return open_reader(self._bucket, self._budget, path, offset, length, if_match)

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> S3Writer:
        self._check_length(path)
        self._reaper.upload_made()
        return self._uploads.open(path, append, upload_id)

    def stat(self, path: str) -> FileInfo:
        if path == "/":
            return directory_info(path)
        found = self._bucket.head(path)
        if found is not None:
            return found.info(path)
        if exists_below(self._bucket, path):
            return directory_info(path)
        raise PathNotFoundError(path=path)

    def list(self, path: str) -> list[str]:
        return names(self._bucket, path, sure=self._order.in_bytes)

    def move(self, source: str, destination: str) -> None:
        self._check_length(destination)
        copy_object(self._bucket, source, destination)
        self._bucket.delete(self._bucket.key(source), source)

    def delete(self, path: str) -> None:
        found = self._uploads.drop_below(path)
        if self._bucket.head(path) is not None:
            self._bucket.delete(self._bucket.key(path), path)
            found = True
        batch = []
        for key in keys_below(self._bucket, self._bucket.directory_key(path), path):
            found = True
            batch.append(key)
            if len(batch) == KEYS_MAX:
                delete_keys(self._bucket, batch, path)
                batch.clear()
        delete_keys(self._bucket, batch, path)
        if not found:
            raise PathNotFoundError(path=path)

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        kind = KeyWalk if self._order.in_bytes() else DirectoryWalk
        return kind(self._bucket, path, start_after)

    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        if self._options.ssecustomerkey:
            return None  # the client would need the key
        with self._bucket.errors(path):
            url: str = self._clients.presigner().generate_presigned_url(
                "get_object" if method == "GET" else "head_object",
                Params={"Bucket": self._bucket.name, "Key": self._bucket.key(path)},
                ExpiresIn=min(expires, self._options.presignlifetime),
                HttpMethod=method,
            )
        return url

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        return self._uploads.status(path, upload_id)

    def close(self) -> None:
        self._clients.close()

    def _check_length(self, path: str) -> None:
        if len(path) > self._path_bytes_max:
            raise InvalidPathError(
                f"longer than the {self._path_bytes_max} bytes that keys leave",
                path=path,
            )

"""The s3 driver: what the contract asks for, in terms of a bucket."""

from __future__ import annotations

from typing import Any, ClassVar

from ..contract import Capabilities, Walk
from ..objectstore.driver import ObjectStoreDriver
from ..objectstore.keywalk import KeyWalk
from ..objectstore.listing import names
from ..objectstore.part_budget import PartBudget
from ..objectstore.readahead import Ahead
from ..objectstore.store import UPLOADS
from .bucket import Bucket
from .client import S3Clients, check_region
from .copying import copy_object
from .listing import children_of
from .order import Order
from .parameters import PARAMETERS, PART_BYTES_MIN, PUBLIC, parse_options
from .parts import OBJECT_BYTES_MAX
from .reader import S3Reader, open_reader, read_whole
from .reaper import S3Reaper
from .uploads import Uploads
from .walk import DirectoryWalk

__all__ = ["PARAMETERS", "S3Driver", "parse_options"]
"""The driver, and what the configuration checks its parameters by."""

RECORD_BYTES = len(UPLOADS) + len("/~/") + 32 + 8
"""What the key of an upload's record has besides root and path."""
LOOK_BYTES = 1 << 20


class S3Driver(ObjectStoreDriver):
    """A store in a bucket of Amazon S3 or of a server that speaks its protocol.

    Args:
        parameters: see `parameters.PARAMETERS`; `region` and `bucket` are required.

    Raises:
        InvalidParameterError: a parameter is unknown, missing or wrong.
    """

    name = "s3"
    public_parameters: ClassVar[frozenset[str]] = PUBLIC

    def __init__(self, **parameters: Any) -> None:
        self._options = options = parse_options(self.name, parameters)
        check_region(options)
        clients = S3Clients(options)
        self._bucket = Bucket(options, clients)
        self._budget = PartBudget(options.memorybudget)
        uploads = Uploads(self._bucket, self._budget)
        reaper = S3Reaper(self._bucket, uploads)
        super().__init__(self._bucket, clients, uploads, reaper, RECORD_BYTES)
        self._presigner = clients.presigner
        self._order = Order(self._bucket)
        self._ahead = Ahead(
            clients,
            self._budget,
            options.readchunksize,
            options.readmaxconcurrency,
            LOOK_BYTES,
        )
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

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> S3Reader:
        return open_reader(self._bucket, self._ahead, path, offset, length, if_match)

    def list(self, path: str) -> list[str]:
        return names(children_of(self._bucket, path, sure=self._order.in_bytes), path)

    def move(self, source: str, destination: str) -> None:
        self._check_length(destination)
        copy_object(self._bucket, source, destination)
        self._bucket.delete(self._bucket.key(source), source)

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        if self._order.in_bytes():
            return KeyWalk(self._bucket, path, start_after)
        return DirectoryWalk(self, self._bucket, path, start_after)

    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        if self._options.ssecustomerkey:
            return None  # the client would need the key
        with self._bucket.errors(path):
            url: str = self._presigner().generate_presigned_url(
                "get_object" if method == "GET" else "head_object",
                Params={"Bucket": self._bucket.name, "Key": self._bucket.key(path)},
                ExpiresIn=min(expires, self._options.presignlifetime),
                HttpMethod=method,
            )
        return url

    def _put(self, path: str, content: bytes) -> None:
        self._bucket.put(self._bucket.key(path), content, path)

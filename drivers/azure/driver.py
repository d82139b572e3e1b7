"""The azure driver: what the contract asks for, in terms of a container."""

from __future__ import annotations

from typing import Any, ClassVar

from ..contract import Capabilities, Walk
from ..errors import AccessDeniedError, PathNotFoundError
from ..objectstore.driver import ObjectStoreDriver
from ..objectstore.keywalk import KeyWalk
from ..objectstore.listing import children, names
from ..objectstore.part_budget import PartBudget
from ..objectstore.readahead import Ahead, RangeReader
from ..objectstore.store import UPLOADS
from .blocks import OBJECT_BYTES_MAX
from .client import AzureClients
from .container import Container
from .copying import copy_blob
from .parameters import PARAMETERS, PUBLIC, parse_options
from .reader import FIRST_BYTES, VALIDATED_BYTES_MAX, open_reader
from .reaper import AzureReaper
from .uploads import Uploads

__all__ = ["PARAMETERS", "AzureDriver", "parse_options"]
"""The driver, and what the configuration checks its parameters by."""

UPLOAD_BYTES = len(UPLOADS) + len("/~") + 32
"""What the name of an upload has besides root and path."""


class AzureDriver(ObjectStoreDriver):
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
        self._options = options = parse_options(self.name, parameters)
        clients = AzureClients(options)
        self._container = Container(options, clients)
        self._budget = PartBudget(options.memorybudget)
        uploads = Uploads(self._container, self._budget)
        reaper = AzureReaper(self._container, uploads)
        super().__init__(self._container, clients, uploads, reaper, UPLOAD_BYTES)
        range_bytes = options.readchunksize
        if options.validated:
            range_bytes = min(range_bytes, VALIDATED_BYTES_MAX)
        self._ahead = Ahead(
            clients,
            self._budget,
            range_bytes,
            options.readmaxconcurrency,
            look_bytes=FIRST_BYTES // 2,
        )
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
        with open_reader(self._container, self._ahead, path) as stream:
            return stream.read()

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> RangeReader:
        return open_reader(self._container, self._ahead, path, offset, length, if_match)

    def list(self, path: str) -> list[str]:
        return names(children(self._container, path), path)

    def move(self, source: str, destination: str) -> None:
        self._check_length(destination)
        key = self._container.key(source)
        found = self._container.head(key, source)
        if found is None:
            raise PathNotFoundError(path=source)
        copy_blob(self._container, key, found, self._container.key(destination), source)
        # Whoever replaced the source meanwhile keeps what they put there.
        self._container.delete(key, source, found.etag)

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

    def _put(self, path: str, content: bytes) -> None:
        self._container.put(self._container.key(path), content, path)

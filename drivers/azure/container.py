"""Requests to one container: names for paths, conditions, typed errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..contract import FileInfo
from ..errors import InvalidPathError, PathConflictError, PathNotFoundError
from .client import Clients
from .errors import typed
from .parameters import Options
from .signer import Signer

OBJECT_TYPE = "application/octet-stream"
UPLOADS = "~uploads/"
"""Below the root: uploads. "~" lies outside the path grammar."""
UPLOAD_MARK = "storagebus_upload"
"""Metadata of a blob: the upload that it came from."""
NAME_BYTES_MAX = 1_024
SEGMENTS_MAX = 254


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a blob.

    Attributes:
        size: bytes.
        mod_time: time of the last commit, whole seconds.
        etag: the service's ETag, without quotes.
        metadata: the blob's, with names in lower case.
    """

    size: int
    mod_time: datetime
    etag: str
    metadata: Mapping[str, str]

    @property
    def upload_id(self) -> str:
        """The upload that the blob came from, "" if unknown."""
        return self.metadata.get(UPLOAD_MARK, "")

    def info(self, path: str) -> FileInfo:
        """The same as `stat` says it."""
        return FileInfo(path, self.size, self.mod_time, False, self.etag)


class Container:
    """The container of a driver, below its root directory.

    Args:
        options: the driver's parameters.
        clients: makes the SDK's clients.
    """

    def __init__(self, options: Options, clients: Clients) -> None:
        self.options = options
        self.clients = clients
        self.signer = Signer(options, clients)
        root = options.rootdirectory
        self.root = f"{root}/" if root else ""
        self.uploads = self.root + UPLOADS

    def key(self, path: str) -> str:
        """The name of a blob, or of a directory without its last slash.

        Raises:
            InvalidPathError: no name can be that long or deep.
        """
        key = self.root + path[1:]
        if len(key) > NAME_BYTES_MAX or key.count("/") >= SEGMENTS_MAX:
            raise InvalidPathError(
                f"its name has more than {NAME_BYTES_MAX} bytes "
                f"or {SEGMENTS_MAX} segments",
                path=path,
            )
        return key

    def directory_key(self, path: str) -> str:
        """The prefix of all names below a directory."""
        return self.root if path == "/" else self.key(path) + "/"

    def path(self, key: str) -> str:
        """The path of a name below the root."""
        return "/" + key[len(self.root) :]

    def call(
        self,
        operation: str,
        key: str,
        path: str | None,
        *args: Any,
        if_match: str = "",
        if_none: bool = False,
        **given: Any,
    ) -> Any:
        """One request of the SDK; it retries within `max_retries`.

        Args:
            operation: a method of the SDK's client of a blob.
            key: the blob.
            path: what the request is about, for its errors.
            args: the method's own.
            if_match: the ETag that the blob must have.
            if_none: whether there must be no blob.
            given: the method's own.

        Raises:
            StorageError: typed by what the server or the SDK said.
        """
        with self.errors(path):
            if if_match or if_none:
                given |= _conditions(if_match, if_none)
            blob = self.clients.container().get_blob_client(key)
            return getattr(blob, operation)(*args, **given)

    @contextmanager
    def errors(self, path: str | None) -> Iterator[None]:
        """Whatever the SDK raises inside leaves as a `StorageError`."""
        try:
            yield
        except Exception as error:
            mapped = typed(error, path)
            if mapped is error:
                raise
            raise mapped from None

    def put(self, key: str, content: bytes, path: str | None) -> None:
        """Store a blob whole, in one request."""

        def put() -> None:
            self.call(
                "upload_blob",
                key,
                path,
                content,
                length=len(content),
                overwrite=True,
                validate_content=self.options.validated,
                content_settings=content_settings(),
            )

        self.replacing(put, key, path)

    def replacing(self, publish: Callable[[], Any], key: str, path: str | None) -> Any:
        """Do what replaces a blob; one of another type is deleted before.

        The registry's own driver writes append blobs, and the service never turns one
        into a block blob. Only then there is a moment without the object.
        """
        try:
            return publish()
        except PathConflictError:
            self.delete(key, path)
            return publish()

    def head(self, key: str, path: str | None) -> Found | None:
        """What is known of a blob, or None when there is none."""
        try:
            return found_of(self.call("get_blob_properties", key, path))
        except PathNotFoundError:
            return None

    def delete(self, key: str, path: str | None, if_match: str = "") -> None:
        """Delete one blob and its snapshots, there or not.

        Raises:
            PreconditionError: it has another ETag than `if_match`, or is gone.
        """
        try:
            self.call(
                "delete_blob", key, path, delete_snapshots="include", if_match=if_match
            )
        except PathNotFoundError:
            return


def found_of(properties: Any) -> Found:
    """What the SDK's properties of a blob say."""
    metadata = properties.metadata or {}
    return Found(
        properties.size,
        properties.last_modified.replace(microsecond=0),
        unquoted(properties.etag),
        {name.lower(): value for name, value in metadata.items()},
    )


def content_settings() -> Any:
    """The headers of every object."""
    from azure.storage.blob import ContentSettings

    return ContentSettings(content_type=OBJECT_TYPE)


def unquoted(etag: str) -> str:
    """An ETag without its quotes."""
    return etag.strip('"')


def quoted(etag: str) -> str:
    """An ETag as HTTP writes it."""
    return f'"{etag}"'


def attempt(call: Callable[[], object]) -> None:
    """Do what may fail without harm: the reaper does it again later."""
    try:
        call()
    except Exception:
        return


def _conditions(if_match: str, if_none: bool) -> dict[str, Any]:
    from azure.core import MatchConditions

    if if_none:
        return {"match_condition": MatchConditions.IfMissing}
    return {
        "etag": quoted(if_match),
        "match_condition": MatchConditions.IfNotModified,
    }

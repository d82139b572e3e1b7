"""Requests to one container: the arguments they share, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ..errors import (
    AccessDeniedError,
    InvalidPathError,
    PathConflictError,
    PathNotFoundError,
    StorageError,
)
from ..objectstore.store import OBJECT_TYPE, Found, Store, quoted, unquoted
from ..progress import step
from .client import AzureClients
from .errors import typed
from .parameters import Options
from .sas import has_expired
from .signer import Signer

UPLOAD_MARK = "storagebus_upload"
"""Metadata of a blob: the upload that it came from."""
PAGE_KEYS_MAX = 5_000
SEGMENTS_MAX = 254
_NOT_FOUND = 404


class Container(Store):
    """The container of a driver, below its root directory.

    Args:
        options: the driver's parameters.
        clients: makes the SDK's clients.
    """

    batch_keys_max = 256
    lists_from = False

    def __init__(self, options: Options, clients: AzureClients) -> None:
        super().__init__(options.rootdirectory)
        self.options = options
        self.clients = clients
        self.signer = Signer(options, clients)

    def key(self, path: str) -> str:
        key = super().key(path)
        if key.count("/") >= SEGMENTS_MAX:
            raise InvalidPathError(
                f"its name has more than {SEGMENTS_MAX} segments", path=path
            )
        return key

    def typed(self, error: Exception, path: str | None) -> StorageError:
        found = typed(error, path)
        if isinstance(found, AccessDeniedError) and has_expired(
            self.options.sastoken, datetime.now(UTC)
        ):
            found.detail = f"the signature has expired: renew it ({found.detail})"
        return found

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
            reply = getattr(blob, operation)(*args, **given)
        step()
        return reply

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
        try:
            return found_of(self.call("get_blob_properties", key, path))
        except PathNotFoundError:
            return None

    def entries(
        self,
        prefix: str,
        path: str | None,
        *,
        start_after: str = "",
        delimiter: str = "",
        metadata: bool = False,
        keys_max: int | None = None,
    ) -> Iterator[tuple[str, Found | None]]:
        include = ["metadata"] if metadata else None
        given = {"results_per_page": keys_max or PAGE_KEYS_MAX}
        with self.errors(path):
            client = self.clients.container()
            if delimiter:
                found = client.walk_blobs(prefix, include, delimiter, **given)
            else:
                found = client.list_blobs(prefix, include, **given)
            pages = found.by_page()
        while True:
            with self.errors(path):
                page: Any = next(pages, None)
                if page is None:
                    return
                page = list(page)
            step()
            for entry in page:
                is_blob = getattr(entry, "etag", None) is not None
                yield entry.name, found_of(entry) if is_blob else None

    def delete(self, key: str, path: str | None, if_match: str = "") -> None:
        """Delete one blob and its snapshots, there or not.

        Args:
            key: the blob.
            path: what it belongs to, for errors.
            if_match: the ETag that it must have; "" for any.

        Raises:
            PreconditionError: it has another ETag than `if_match`, or is gone.
        """
        try:
            self.call(
                "delete_blob", key, path, delete_snapshots="include", if_match=if_match
            )
        except PathNotFoundError:
            return

    def delete_batch(
        self, keys: Sequence[str], path: str | None
    ) -> Iterator[StorageError]:
        with self.errors(path):
            replies = list(
                self.clients.container().delete_blobs(
                    *keys, delete_snapshots="include", raise_on_any_failure=False
                )
            )
        step()
        if len(replies) != len(keys):
            raise StorageError("a batch was not understood", path=path)
        for key, reply in zip(keys, replies, strict=True):
            if reply.status_code >= 400 and reply.status_code != _NOT_FOUND:
                yield typed(_Refused(reply), self.path(key))


class _Refused(Exception):
    """One reply of a batch in the form of the SDK's own errors."""

    def __init__(self, reply: Any) -> None:
        super().__init__(reply.status_code)
        self.status_code = reply.status_code
        self.error_code = reply.headers.get("x-ms-error-code", "")
        self.response = reply


def found_of(properties: Any) -> Found:
    """What the SDK's properties of a blob say."""
    given = properties.metadata or {}
    metadata = {name.lower(): value for name, value in given.items()}
    return Found(
        properties.size,
        properties.last_modified.replace(microsecond=0),
        unquoted(properties.etag),
        metadata.get(UPLOAD_MARK, ""),
        metadata,
    )


def content_settings() -> Any:
    """The headers of every object."""
    from azure.storage.blob import ContentSettings

    return ContentSettings(content_type=OBJECT_TYPE)


def _conditions(if_match: str, if_none: bool) -> dict[str, Any]:
    from azure.core import MatchConditions

    if if_none:
        return {"match_condition": MatchConditions.IfMissing}
    return {
        "etag": quoted(if_match),
        "match_condition": MatchConditions.IfNotModified,
    }

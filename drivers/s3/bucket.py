"""Requests to one bucket: the arguments they share, and what they answer."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import (
    AccessDeniedError,
    PathNotFoundError,
    StorageError,
    UnavailableError,
    UnsupportedMethodError,
)
from ..objectstore.meanings import Meaning
from ..objectstore.store import OBJECT_TYPE, Found, Store, unquoted
from ..progress import step
from ..standing import standing_on
from .client import S3Clients
from .errors import BY_CODE, redacted, typed
from .parameters import Options

UPLOAD_MARK = "storagebus-upload"
"""Metadata of an object: the upload that it came from."""
LEARN_BYTES_MAX = 1 << 20
PAGE_KEYS_MAX = 1_000
GONE_CODES = frozenset({"NoSuchKey", "NotFound", "NoSuchVersion"})

_ENCRYPTED = frozenset(
    {"put_object", "create_multipart_upload", "copy_object"}
)  # fmt: skip
_CUSTOMER_KEYED = _ENCRYPTED | {
    "get_object", "head_object", "upload_part", "upload_part_copy",
}  # fmt: skip
_WITH_BODY = frozenset({"put_object", "upload_part"})
_COPIES = frozenset({"copy_object", "upload_part_copy"})


class Bucket(Store):
    """The bucket of a driver, below its root directory.

    Args:
        options: the driver's parameters.
        clients: makes the SDK's client.
    """

    batch_keys_max = 1_000
    lists_from = True

    def __init__(self, options: Options, clients: S3Clients) -> None:
        super().__init__(options.rootdirectory)
        self.options = options
        self.clients = clients
        self.name = options.bucket
        self.etags_are_md5: bool | None = None
        self._digests = options.content_md5
        self._stored = _stored_arguments(options)
        self._customer_key_tried = False
        self._customer_key = _customer_key_arguments(options)

    def typed(self, error: Exception, path: str | None) -> StorageError:
        return typed(error, path, secrets=self.options.secrets)

    def call(self, operation: str, path: str | None, **arguments: Any) -> Any:
        """One request of the SDK; it retries within `maxattempts`.

        Args:
            operation: the client's method.
            path: what the request is about, for its errors.
            arguments: the method's own; the bucket and encryption are added.

        Raises:
            StorageError: typed by what the server or the SDK said.
        """
        if operation in _ENCRYPTED:
            self._try_customer_key()
            arguments = {**self._stored, **arguments}
        if self._customer_key and operation in _CUSTOMER_KEYED:
            arguments |= self._customer_key
            if operation in _COPIES:
                arguments |= {
                    f"CopySource{k}": v for k, v in self._customer_key.items()
                }
        if self._digests and operation in _WITH_BODY:
            arguments["ContentMD5"] = _md5_of(arguments["Body"])
        with self.errors(path):
            copies = operation in _COPIES
            client = self.clients.copier() if copies else self.clients.client()
            reply = getattr(client, operation)(Bucket=self.name, **arguments)
        step()
        return reply

    def put(
        self,
        key: str,
        body: Any,
        path: str | None,
        metadata: Mapping[str, str] | None = None,
        **conditions: str,
    ) -> str:
        """Store an object whole, in one request; returns its ETag."""
        reply = self.call(
            "put_object",
            path,
            Key=key,
            Body=body,
            ContentType=OBJECT_TYPE,
            Metadata=dict(metadata or {}),
            **conditions,
        )
        etag = unquoted(reply["ETag"])
        if self.etags_are_md5 is None and isinstance(body, bytes):
            self._learn(body, etag)
        return etag

    def head(self, key: str, path: str | None) -> Found | None:
        try:
            reply = self.call("head_object", path, Key=key)
        except PathNotFoundError:
            return None
        except StorageError as error:
            raise self._explained(error, key, path) from None
        metadata = {name.lower(): value for name, value in reply["Metadata"].items()}
        return Found(
            size=reply["ContentLength"],
            mod_time=reply["LastModified"].replace(microsecond=0),
            etag=unquoted(reply["ETag"]),
            upload_id=metadata.get(UPLOAD_MARK, ""),
            metadata=metadata,
        )

    def get(self, key: str, path: str) -> bytes | None:
        """A small object of the driver's own, or None when there is none."""
        try:
            reply = self.call("get_object", path, Key=key)
        except PathNotFoundError:
            return None
        with self.errors(path), reply["Body"] as body:
            content: bytes = body.read()
        return content

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
        arguments = {"Prefix": prefix, "MaxKeys": keys_max or PAGE_KEYS_MAX}
        if start_after:
            arguments["StartAfter"] = start_after
        if delimiter:
            arguments["Delimiter"] = delimiter
        before = None
        while True:
            reply = self.call("list_objects_v2", path, **arguments)
            for entry in reply.get("Contents", ()):
                yield entry["Key"], _listed(entry)
            for rolled in reply.get("CommonPrefixes", ()):
                yield rolled["Prefix"], None
            token = reply.get("NextContinuationToken")
            if not reply.get("IsTruncated") or not token:
                return
            if token == before:
                raise UnavailableError("the server's listing does not go on", path=path)
            before = arguments["ContinuationToken"] = token

    def delete(self, key: str, path: str | None) -> None:
        self.call("delete_object", path, Key=key)

    def delete_batch(
        self, keys: Sequence[str], path: str | None
    ) -> Iterator[StorageError]:
        listed = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        reply = self.call("delete_objects", path, Delete=listed)
        for failed in reply.get("Errors", ()):
            code = str(failed.get("Code") or "unknown")
            if code not in GONE_CODES:
                detail = redacted(f"not deleted ({code})", self.options.secrets)
                meaning = BY_CODE.get(code, Meaning(StorageError))
                yield meaning.error(detail, self.path(str(failed.get("Key", ""))))

    def _explained(
        self, error: StorageError, key: str, path: str | None
    ) -> StorageError:
        """The reason for a refusal, which the answer to a HEAD has no room for."""
        if type(error) not in (AccessDeniedError, StorageError):
            return error
        try:
            next(self.entries(key, path, keys_max=1), None)
        except AccessDeniedError as reason:
            return reason
        except StorageError:
            pass
        return error

    def _learn(self, body: bytes, etag: str) -> None:
        """Find out whether this server's ETags are digests of the content."""
        if len(body) <= LEARN_BYTES_MAX:
            digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
            self.etags_are_md5 = digest == etag

    def _try_customer_key(self) -> None:
        """See to it, once, that nothing is stored unencrypted by mistake.

        Raises:
            UnsupportedMethodError: the server takes the key and ignores it.
        """
        if not self._customer_key or self._customer_key_tried:
            return
        key = f"{self.uploads}~key-{secrets.token_hex(8)}"
        with self.errors(None), standing_on(None):
            client = self.clients.client()
            reply = client.put_object(
                Bucket=self.name, Key=key, Body=b"", **self._customer_key
            )
            client.delete_object(Bucket=self.name, Key=key)
        if "SSECustomerAlgorithm" not in reply:
            raise UnsupportedMethodError(
                "the server ignores 'ssecustomerkey' and would store objects "
                "unencrypted; leave it out, or use a server that encrypts"
            )
        self._customer_key_tried = True


def _listed(entry: Mapping[str, Any]) -> Found:
    """What a listing says of an object."""
    modified = entry["LastModified"].replace(microsecond=0)
    return Found(entry["Size"], modified, unquoted(entry["ETag"]))


def _md5_of(body: Any) -> str:
    """The digest of a body that lets the server notice damage on the way.

    Of all that can say so, it is the one that every server checks.
    """
    if hasattr(body, "read"):
        digest = hashlib.file_digest(body, _new_md5)
        body.seek(0)
    else:
        digest = _new_md5(body)
    return base64.b64encode(digest.digest()).decode()


def _new_md5(content: Any = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)


def _stored_arguments(options: Options) -> dict[str, Any]:
    """What every request that makes an object says of it."""
    arguments: dict[str, Any] = {"ACL": options.objectacl}
    if options.storageclass != "NONE":
        arguments["StorageClass"] = options.storageclass
    if options.encrypt and options.keyid:
        arguments |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": options.keyid}
    elif options.encrypt:
        arguments["ServerSideEncryption"] = "AES256"
    return arguments


def _customer_key_arguments(options: Options) -> dict[str, Any]:
    if not options.ssecustomerkey:
        return {}
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": options.ssecustomerkey}

"""Requests to one bucket: keys for paths, the arguments they share, typed errors."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..contract import FileInfo
from ..errors import InvalidPathError, PathNotFoundError, UnsupportedMethodError
from ..progress import step
from .client import Clients
from .errors import typed
from .parameters import Options

OBJECT_TYPE = "application/octet-stream"
UPLOADS = "~uploads/"
"""Below the root: the records of uploads. "~" lies outside the path grammar."""
UPLOAD_MARK = "storagebus-upload"
"""Metadata of an object: the upload that it came from."""
LEARN_BYTES_MAX = 1 << 20
KEY_BYTES_MAX = 1_024

_ENCRYPTED = frozenset(
    {"put_object", "create_multipart_upload", "copy_object"}
)  # fmt: skip
_CUSTOMER_KEYED = _ENCRYPTED | {
    "get_object", "head_object", "upload_part", "upload_part_copy",
}  # fmt: skip
_WITH_BODY = frozenset({"put_object", "upload_part"})
_COPIES = frozenset({"copy_object", "upload_part_copy"})


@dataclass(frozen=True, slots=True)
class Found:
    """What a HEAD says of an object.

    Attributes:
        size: bytes.
        mod_time: time of the last commit, whole seconds.
        etag: the server's ETag, without quotes.
        upload_id: the upload that the object came from, "" if unknown.
    """

    size: int
    mod_time: datetime
    etag: str
    upload_id: str

    def info(self, path: str) -> FileInfo:
        """The same as `stat` says it."""
        return FileInfo(path, self.size, self.mod_time, False, self.etag)


class Bucket:
    """The bucket of a driver, below its root directory.

    Args:
        options: the driver's parameters.
        clients: makes the SDK's client.
    """

    def __init__(self, options: Options, clients: Clients) -> None:
        self.options = options
        self.clients = clients
        self.name = options.bucket
        root = options.rootdirectory
        self.root = f"{root}/" if root else ""
        self.uploads = self.root + UPLOADS
        self.etags_are_md5: bool | None = None
        self._digests = options.content_md5
        self._stored = _stored_arguments(options)
        self._customer_key_tried = False
        self._customer_key = _customer_key_arguments(options)

    def key(self, path: str) -> str:
        """The key of an object, or of a directory without its last slash.

        Raises:
            InvalidPathError: no key can be that long.
        """
        key = self.root + path[1:]
        if len(key) > KEY_BYTES_MAX:
            raise InvalidPathError(
                f"its key is longer than {KEY_BYTES_MAX} bytes", path=path
            )
        return key

    def directory_key(self, path: str) -> str:
        """The prefix of all keys below a directory."""
        return self.root if path == "/" else self.key(path) + "/"

    def path(self, key: str) -> str:
        """The path of a key below the root."""
        return "/" + key[len(self.root) :]

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
            method = getattr(self.clients.client(), operation)
            reply = method(Bucket=self.name, **arguments)
        step()
        return reply

    @contextmanager
    def errors(self, path: str | None) -> Iterator[None]:
        """Whatever the SDK raises inside leaves as a `StorageError`."""
        try:
            yield
        except Exception as error:
            mapped = typed(error, path, secrets=self.options.secrets)
            if mapped is error:
                raise
            raise mapped from None

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

    def head(self, path: str) -> Found | None:
        """What is known of an object, or None when there is none."""
        try:
            reply = self.call("head_object", path, Key=self.key(path))
        except PathNotFoundError:
            return None
        metadata = {name.lower(): value for name, value in reply["Metadata"].items()}
        return Found(
            size=reply["ContentLength"],
            mod_time=reply["LastModified"].replace(microsecond=0),
            etag=unquoted(reply["ETag"]),
            upload_id=metadata.get(UPLOAD_MARK, ""),
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

    def delete(self, key: str, path: str | None) -> None:
        """Delete one object, there or not."""
        self.call("delete_object", path, Key=key)

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
        with self.errors(None):
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


def unquoted(etag: str) -> str:
    """An ETag without its quotes, which some servers leave out and others double."""
    return etag.strip('"')


def quoted(etag: str) -> str:
    """An ETag as HTTP writes it."""
    return f'"{etag}"'


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


def attempt(call: Callable[[], object]) -> None:
    """Do what may fail without harm: the reaper does it again later."""
    try:
        call()
    except Exception:
        return


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

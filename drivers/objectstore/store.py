"""One bucket or container: keys for paths, and what every store can be asked."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import ClassVar

from ..contract import FileInfo
from ..errors import InvalidPathError, StorageError, UnsupportedMethodError
from ..standing import check_standing

OBJECT_TYPE = "application/octet-stream"
UPLOADS = "~uploads/"
"""Below the root: what belongs to uploads. "~" lies outside the path grammar."""
KEY_BYTES_MAX = 1_024
BATCH_KEYS_FIRST = 250
BATCH_KEYS_MIN = 10
BATCH_S = 2.0
"""What a request that deletes should take at most; it is waited for much longer."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of an object.

    Attributes:
        size: bytes.
        mod_time: time of the last commit, whole seconds.
        etag: the store's ETag, without quotes.
        upload_id: the upload that the object came from, "" if unknown.
        metadata: the object's, with names in lower case; empty if not asked for.
    """

    size: int
    mod_time: datetime
    etag: str
    upload_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def info(self, path: str) -> FileInfo:
        """The same as `stat` says it."""
        return FileInfo(path, self.size, self.mod_time, False, self.etag)


class Store(ABC):
    """Where a driver's objects lie, below its root directory.

    Args:
        rootdirectory: beginning of all keys, without slashes at its ends; or "".

    Attributes:
        root: the same with its last slash.
        uploads: beginning of the keys of uploads.
        batch_keys_max: keys that one request deletes.
        lists_from: whether a listing can begin at a key.
    """

    batch_keys_max: ClassVar[int]
    lists_from: ClassVar[bool]

    def __init__(self, rootdirectory: str) -> None:
        self.root = f"{rootdirectory}/" if rootdirectory else ""
        self.uploads = self.root + UPLOADS

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
        """The beginning of all keys below a directory."""
        return self.root if path == "/" else self.key(path) + "/"

    def path(self, key: str) -> str:
        """The path of a key below the root."""
        return "/" + key[len(self.root) :]

    @contextmanager
    def errors(self, path: str | None) -> Iterator[None]:
        """Whatever the SDK raises inside leaves as a `StorageError`."""
        try:
            yield
        except Exception as error:
            mapped = self.typed(error, path)
            if mapped is error:
                raise
            raise mapped from None

    @abstractmethod
    def typed(self, error: Exception, path: str | None) -> StorageError:
        """What an error of the SDK means for an operation on a path."""

    @abstractmethod
    def head(self, key: str, path: str | None) -> Found | None:
        """What is known of an object, or None when there is none."""

    @abstractmethod
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
        """The keys that begin with `prefix`, page by page.

        Args:
            prefix: the beginning of the keys.
            path: the directory concerned, for errors.
            start_after: only keys after this one, where the store `lists_from` one.
            delimiter: "/" rolls up what lies below a directory.
            metadata: whether the objects' metadata are wanted, where a listing has
                them.
            keys_max: keys a page; None as many as the store gives.

        Returns:
            Keys with what is known of the object; None for a directory, whose key ends
            with the delimiter.
        """

    @abstractmethod
    def delete(self, key: str, path: str | None) -> None:
        """Delete one object, there or not."""

    @abstractmethod
    def delete_batch(
        self, keys: Sequence[str], path: str | None
    ) -> Iterator[StorageError]:
        """Delete at most `batch_keys_max` objects in one request.

        Returns:
            The errors of those that were not deleted.

        Raises:
            StorageError: of that very class, or `UnsupportedMethodError`: the server
                takes no batches, and nothing was deleted.
        """

    def find(self, path: str) -> Found | None:
        """What is known of the object at a path, or None when there is none."""
        return self.head(self.key(path), path)

    def keys(
        self, prefix: str, path: str | None, start_after: str = ""
    ) -> Iterator[str]:
        """The keys that begin with `prefix`."""
        for key, _ in self.entries(prefix, path, start_after=start_after):
            yield key

    def delete_keys(self, keys: Iterable[str], path: str | None) -> int:
        """Delete objects by their keys, there or not.

        Servers differ a hundredfold in how quickly they delete a thousand; some need
        longer than one waits for an answer. So the requests begin small, and grow
        while they are quick.

        Args:
            keys: any number of them, taken as they are deleted.
            path: what they belong to, for errors.

        Returns:
            How many keys there were.

        Raises:
            StorageError: the first error of a key; the others were tried all the same.
                Or the operation must not go on, see `check_standing`.
        """
        first: StorageError | None = None
        rest = iter(keys)
        count, size = 0, min(BATCH_KEYS_FIRST, self.batch_keys_max)
        while batch := list(islice(rest, size)):
            started = time.monotonic()
            for error in self._delete_some(batch, path):
                first = first or error
            count += len(batch)
            size = _next_batch(size, time.monotonic() - started, self.batch_keys_max)
        if first is not None:
            raise first
        return count

    def _delete_some(
        self, keys: Sequence[str], path: str | None
    ) -> Iterator[StorageError]:
        """In one request, or in one for each where the server takes no batches."""
        if len(keys) > 1:
            try:
                yield from self.delete_batch(keys, path)
                return
            except StorageError as error:
                # Without a class of its own, it is the request that was not understood.
                if type(error) not in (StorageError, UnsupportedMethodError):
                    raise
        for key in keys:
            check_standing()  # here it ends them all
            try:
                self.delete(key, self.path(key))
            except StorageError as error:
                yield error


def _next_batch(size: int, took_s: float, keys_max: int) -> int:
    """How many keys the next request deletes, after one of `size` keys."""
    if took_s > BATCH_S:
        size = max(BATCH_KEYS_MIN, int(size * BATCH_S / took_s))
    elif took_s < BATCH_S / 2:
        size *= 2
    return min(keys_max, size)


def unquoted(etag: str) -> str:
    """An ETag without its quotes, which some servers leave out and others double."""
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

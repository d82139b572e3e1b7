"""Deleting many keys: a thousand a request, with the error of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ..errors import StorageError, UnsupportedMethodError
from .bucket import Bucket
from .errors import BY_CODE, Meaning, redacted

KEYS_MAX = 1_000
GONE_CODES = frozenset({"NoSuchKey", "NotFound", "NoSuchVersion"})


def delete_keys(bucket: Bucket, keys: Sequence[str], path: str | None) -> None:
    """Delete objects by their keys, there or not.

    Args:
        bucket: where they are.
        keys: any number of them.
        path: what they belong to, for errors.

    Raises:
        StorageError: the first error of a key; the others were tried all the same.
    """
    first: StorageError | None = None
    for batch in _batches(keys):
        if len(batch) == 1:
            bucket.delete(batch[0], path)
            continue
        for error in _delete_batch(bucket, batch, path):
            first = first or error
    if first is not None:
        raise first


def _batches(keys: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while batch := list(islice(rest, KEYS_MAX)):
        yield batch


def _delete_batch(
    bucket: Bucket, keys: list[str], path: str | None
) -> Iterator[StorageError]:
    """One request for all, or one for each where the server takes no batches."""
    listed = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    try:
        reply = bucket.call("delete_objects", path, Delete=listed)
    except StorageError as error:
        # Without a class of its own, it is the request itself that was not understood.
        if type(error) not in (StorageError, UnsupportedMethodError):
            raise
        for key in keys:
            bucket.delete(key, path)
        return
    for failed in reply.get("Errors", ()):
        if failed.get("Code") not in GONE_CODES:
            yield _error_of(bucket, failed)


def _error_of(bucket: Bucket, failed: dict[str, Any]) -> StorageError:
    code = str(failed.get("Code") or "unknown")
    meaning = BY_CODE.get(code, Meaning(StorageError))
    return meaning.cls(
        redacted(f"not deleted ({code})", bucket.options.secrets),
        path=bucket.path(str(failed.get("Key", ""))),
        temporary=meaning.temporary,
    )

"""Deleting many blobs: 256 a request, with the error of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ..errors import StorageError, UnsupportedMethodError
from .container import Container
from .errors import typed

KEYS_MAX = 256
_GONE = 404


def delete_keys(container: Container, keys: Sequence[str], path: str | None) -> None:
    """Delete blobs by their names, there or not.

    Args:
        container: where they are.
        keys: any number of them.
        path: what they belong to, for errors.

    Raises:
        StorageError: the first error of a blob; the others were tried all the same.
    """
    first: StorageError | None = None
    rest = iter(keys)
    while batch := list(islice(rest, KEYS_MAX)):
        errors = _one_by_one if len(batch) == 1 else _in_one_request
        for error in errors(container, batch, path):
            first = first or error
    if first is not None:
        raise first


def _in_one_request(
    container: Container, keys: list[str], path: str | None
) -> Iterator[StorageError]:
    """One request for all, or one for each where the server takes no batches."""
    try:
        with container.errors(path):
            replies = list(
                container.clients.container().delete_blobs(
                    *keys, delete_snapshots="include", raise_on_any_failure=False
                )
            )
    except StorageError as error:
        # Without a class of its own, it is the request itself that was not understood.
        if type(error) not in (StorageError, UnsupportedMethodError):
            raise
        replies = []
    if len(replies) != len(keys):
        yield from _one_by_one(container, keys, path)
        return
    for key, reply in zip(keys, replies, strict=True):
        if reply.status_code >= 400 and reply.status_code != _GONE:
            yield typed(_Refused(reply), container.path(key))


def _one_by_one(
    container: Container, keys: list[str], path: str | None
) -> Iterator[StorageError]:
    for key in keys:
        try:
            container.delete(key, container.path(key))
        except StorageError as error:
            yield error


class _Refused(Exception):
    """One reply of a batch in the form of the SDK's own errors."""

    def __init__(self, reply: Any) -> None:
        super().__init__(reply.status_code)
        self.status_code = reply.status_code
        self.error_code = reply.headers.get("x-ms-error-code", "")
        self.response = reply

"""Listings in pages, and what a directory holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..contract import FileInfo
from ..errors import PathNotFoundError
from ..paths import is_component, join
from .container import UPLOADS, Container, Found, found_of

PAGE_KEYS_MAX = 5_000


def entries(
    container: Container,
    prefix: str,
    path: str | None,
    *,
    delimiter: str = "",
    metadata: bool = False,
    keys_max: int = PAGE_KEYS_MAX,
) -> Iterator[tuple[str, Found | None]]:
    """The names that begin with `prefix`, in byte order, page by page.

    Args:
        container: what to list.
        prefix: the beginning of the names.
        path: the directory concerned, for errors.
        delimiter: "/" rolls up what lies below a directory.
        metadata: whether to ask for the metadata of the blobs.
        keys_max: names a page.

    Returns:
        Names with what is known of the blob; None for a directory, whose name ends
        with the delimiter.
    """
    include = ["metadata"] if metadata else None
    with container.errors(path):
        client = container.clients.container()
        if delimiter:
            found = client.walk_blobs(
                prefix, include, delimiter, results_per_page=keys_max
            )
        else:
            found = client.list_blobs(prefix, include, results_per_page=keys_max)
    while True:
        with container.errors(path):
            entry: Any = next(found, None)
        if entry is None:
            return
        is_blob = getattr(entry, "etag", None) is not None
        yield entry.name, found_of(entry) if is_blob else None


def exists_below(container: Container, path: str) -> bool:
    """Whether any object lies below a directory."""
    prefix = container.directory_key(path)
    for key, _ in entries(container, prefix, path, keys_max=2):
        # Below the root there are the uploads.
        if key != prefix and not key.startswith(container.uploads):
            return True
    return False


def names(container: Container, path: str) -> list[str]:
    """The paths of a directory's children, in byte order.

    Raises:
        PathNotFoundError: there is no directory; never for the root.
    """
    prefix = container.directory_key(path)
    found = set()
    for key, blob in entries(container, prefix, path, delimiter="/"):
        name = key[len(prefix) :]
        if blob is None:
            name = name.removesuffix("/")
            if key == container.root + UPLOADS:
                continue
        if is_component(name):
            found.add(join(path, name))
    if not found and path != "/":
        raise PathNotFoundError(path=path)
    return sorted(found)


def directory_info(path: str) -> FileInfo:
    """What there is to say of a directory."""
    return FileInfo(path, 0, None, True)

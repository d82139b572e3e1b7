"""What a directory holds."""

from __future__ import annotations

from ..contract import FileInfo
from ..errors import PathNotFoundError
from ..paths import is_component, join
from .store import Store


def exists_below(store: Store, path: str) -> bool:
    """Whether any object lies below a directory."""
    prefix = store.directory_key(path)
    for key, _ in store.entries(prefix, path, keys_max=2):
        # A console may have made an object for the directory itself, and below the
        # root there are uploads.
        if key != prefix and not key.startswith(store.uploads):
            return True
    return False


def children(store: Store, path: str) -> list[FileInfo]:
    """What a directory holds, in no order; empty when there is no directory."""
    prefix = store.directory_key(path)
    found = []
    for key, entry in store.entries(prefix, path, delimiter="/"):
        name = key[len(prefix) :]
        if entry is None:
            name = name.removesuffix("/")
        if not is_component(name):
            continue  # such as the directory of uploads
        child = join(path, name)
        found.append(directory_info(child) if entry is None else entry.info(child))
    return found


def names(found: list[FileInfo], path: str) -> list[str]:
    """The paths of a directory's children, in byte order.

    Raises:
        PathNotFoundError: there are none, so no directory; never for the root.
    """
    if not found and path != "/":
        raise PathNotFoundError(path=path)
    return sorted({info.path for info in found})


def directory_info(path: str) -> FileInfo:
    """What there is to say of a directory."""
    return FileInfo(path, 0, None, True)

"""The grammar of paths, and their order.

A path names an object or a directory: ``^(/[A-Za-z0-9._-]+)+$``, the grammar of the
registry's storage drivers, with the components ``.`` and ``..`` refused as well (the
registry's own check lets them through, and a filesystem driver would then leave its
root directory). ``/`` is the root: valid for stat, list and walk only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import InvalidPathError, StorageError

ROOT = "/"
PATH_BYTES_MAX = 4_096
_GRAMMAR = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+")
_COMPONENT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]+")


def check_path(path: object, *, root: bool = False) -> str:
    """Return `path` when it is inside the grammar.

    Args:
        path: what the caller gave; anything but a string is invalid too.
        root: whether "/" is allowed.

    Raises:
        InvalidPathError: with the path, and why.
    """
    if not isinstance(path, str):
        raise InvalidPathError(f"a path is a string, not {type(path).__name__}")
    if len(path) > PATH_BYTES_MAX:
        shown = path[:64] + "..."
        raise InvalidPathError(f"longer than {PATH_BYTES_MAX} bytes", path=shown)
    if _GRAMMAR.fullmatch(path) or (root and path == ROOT):
        return path
    raise InvalidPathError(_why(path), path=path)


def is_component(name: str) -> bool:
    """Whether one name (between slashes) is inside the grammar."""
    return _COMPONENT.fullmatch(name) is not None


def parent(path: str) -> str:
    """The directory that a path lies in; the root's is the root."""
    return path.rpartition("/")[0] or ROOT


def join(directory: str, name: str) -> str:
    """The path of `name` inside `directory`."""
    return f"/{name}" if directory == ROOT else f"{directory}/{name}"


def check_children(directory: str, names: Iterable[object]) -> list[str]:
    """What a driver has listed, when each is the path of a direct child.

    Anything else would have a walk go round in circles, or break far from here.

    Raises:
        StorageError: one is not; names it.
    """
    prefix = join(directory, "")
    checked = []
    for name in names:
        if (
            not isinstance(name, str)
            or not name.startswith(prefix)
            or len(name) == len(prefix)
            or "/" in name[len(prefix) :]
        ):
            shown = repr(name)[:80]
            raise StorageError(f"its list gave {shown}, no child of it", path=directory)
        checked.append(name)
    return checked


def below(path: str, directory: str) -> bool:
    """Whether `path` lies under `directory` (never true of the directory itself)."""
    return path.startswith("/" if directory == ROOT else directory + "/")


def walk_key(path: str, is_dir: bool) -> str:
    """The key that a walk is ordered by: a directory compares as its path + "/".

    That is the native order of object stores, where ``/a-b`` comes before ``/a/c``.
    All characters are ASCII, so that string order is byte order.
    """
    return path + "/" if is_dir else path


def _why(path: str) -> str:
    if not path:
        return "empty"
    if path == ROOT:
        return "the root is a directory"
    if not path.startswith("/"):
        return "does not start with /"
    if path.endswith("/"):
        return "ends with /"
    for name in path[1:].split("/"):
        if not name:
            return "has an empty component"
        if name in (".", ".."):
            return f"has the component {name}"
    return "may only hold A-Z a-z 0-9 . _ - between slashes"

"""Objects in memory, sorted by path.

The order of the paths is the order of a walk, where a directory compares as its path
and "/": so all that lies below a directory is one stretch of the sorted paths.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from datetime import datetime

from .blocks import Blocks
from .contract import FileInfo
from .errors import PathNotFoundError
from .paths import ROOT, parent
from .refusals import blocked, occupied

_PAST_SLASH = "0"
"""The character after "/": /a and this is past every path below /a."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A committed object.

    Attributes:
        content: its bytes.
        mod_time: when it was committed.
        identity: name of this very content.
    """

    content: Blocks
    mod_time: datetime
    identity: str

    def info(self, path: str) -> FileInfo:
        """What is known about it under a path."""
        size = self.content.size
        return FileInfo(path, size, self.mod_time, False, self.identity)


class Shelf:
    """Objects by path. Not thread-safe: the driver has a lock."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._objects: dict[str, Stored] = {}

    def get(self, path: str) -> Stored:
        """The object at a path.

        Raises:
            PathNotFoundError: none.
        """
        stored = self._objects.get(path)
        if stored is None:
            raise PathNotFoundError(path=path)
        return stored

    def find(self, path: str) -> Stored | None:
        """The object at a path, or None."""
        return self._objects.get(path)

    def check_free(self, path: str) -> None:
        """Refuse a path at which no object may lie.

        Raises:
            PathConflictError: it is a directory, or lies below an object.
        """
        if path in self._objects:
            return
        if self.is_directory(path):
            raise occupied(path)
        above = parent(path)
        while above != ROOT:
            if above in self._objects:
                raise blocked(path)
            above = parent(above)

    def put(self, path: str, stored: Stored) -> None:
        """Store an object, in place of one that is there.

        Raises:
            PathConflictError: see `check_free`.
        """
        self.check_free(path)
        if path not in self._objects:
            insort(self._paths, path)
        self._objects[path] = stored

    def move(self, source: str, destination: str) -> None:
        """Move an object.

        Raises:
            PathNotFoundError: there is none.
            PathConflictError: see `check_free`; the source still counts.
        """
        self.put(destination, self.get(source))
        self.remove(source)

    def remove(self, path: str) -> bool:
        """Remove an object, or all below a directory; whether there was anything."""
        if path in self._objects:
            del self._objects[path]
            del self._paths[bisect_left(self._paths, path)]
            return True
        start = bisect_left(self._paths, path + "/")
        end = bisect_left(self._paths, path + _PAST_SLASH, start)
        for gone in self._paths[start:end]:
            del self._objects[gone]
        del self._paths[start:end]
        return end > start

    def is_directory(self, path: str) -> bool:
        """Whether anything lies below a path; of the root, always."""
        if path == ROOT:
            return True
        first = self.after(path + "/")
        return first is not None and first.startswith(path + "/")

    def children(self, directory: str) -> list[str]:
        """Paths of the objects and directories right below a directory, sorted."""
        prefix = directory.rstrip("/") + "/"
        at = bisect_left(self._paths, prefix)
        found = []
        while at < len(self._paths) and self._paths[at].startswith(prefix):
            child = self._paths[at]
            slash = child.find("/", len(prefix))
            if slash < 0:
                at += 1
            else:
                child = child[:slash]
                at = bisect_left(self._paths, child + _PAST_SLASH, at)
            found.append(child)
        return sorted(found)

    def after(self, key: str) -> str | None:
        """The first path that comes after a walk key."""
        at = bisect_right(self._paths, key)
        return self._paths[at] if at < len(self._paths) else None

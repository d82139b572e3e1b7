"""A directory tree that no symbolic link leads out of.

Every path is walked one name at a time from an open descriptor of the root, and no
link is followed on the way, so nothing outside the root can be reached whatever lies
in the tree and whatever is renamed meanwhile. That costs 0.5 microseconds a name.

Tree paths look like those of objects ("/a/b"), and "/" is the root. Names outside the
path grammar are allowed here: the driver's own names are made of them.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TypeGuard

from .paths import PATH_BYTES_MAX, ROOT, is_component, join, parent
from .progress import step
from .refusals import closed

_LOOK_UP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
"""What the system says where no object is: nothing there, something that is neither
file nor directory, or a path that leads through a file or a link."""

_HAS_ENTRIES = frozenset({errno.ENOTEMPTY, errno.EEXIST})


@dataclass(slots=True)
class Names:
    """The names in one directory, by kind; links, pipes and the like are `others`."""

    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


class Tree:
    """The tree below one directory.

    Args:
        root: the directory; links on the way to it are followed, once.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, root: str) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def __del__(self) -> None:
        self.close()

    @property
    def root(self) -> int:
        """Descriptor of the root.

        Raises:
            InvalidStateError: the tree is closed.
        """
        if self._root < 0:
            raise closed()
        return self._root

    def close(self) -> None:
        """Close the root. Harmless when repeated."""
        root, self._root = getattr(self, "_root", -1), -1
        if root >= 0:
            os.close(root)

    def directory(self, path: str, flags: int = _OPEN) -> int:
        """Open a directory; the caller closes it.

        Raises:
            OSError: with an errno of `ABSENT` when there is none.
        """
        if path == ROOT:
            return os.dup(self.root)
        above = self.root
        names = path[1:].split("/")
        last = len(names) - 1
        for at, name in enumerate(names):
            try:
                here = os.open(name, flags if at == last else _LOOK_UP, dir_fd=above)
            finally:
                if at:
                    os.close(above)
            above = here
        return above

    def make_directory(self, path: str, *, durable: bool) -> int:
        """Open a directory, and make it first where it is missing.

        Args:
            path: the directory.
            durable: whether new entries must be on stable storage. One that another
                thread is just making is that thread's to sync; file systems with a
                journal put it on disk before anything that is synced later.

        Raises:
            FileNotFoundError: another thread pruned it meanwhile; try again.
            NotADirectoryError: something else is in the way.
        """
        try:
            return self.directory(path)
        except FileNotFoundError:
            pass
        here = os.dup(self.root)
        for name in path[1:].split("/"):
            above = here
            try:
                try:
                    here = os.open(name, _OPEN, dir_fd=above)
                except FileNotFoundError:
                    _make(name, above, durable)
                    here = os.open(name, _OPEN, dir_fd=above)
            finally:
                os.close(above)
        return here

    def open_file(self, path: str, flags: int) -> int:
        """Open a file without following a link; a pipe does not block."""
        above = self.directory(parent(path), _LOOK_UP)
        try:
            name = path.rpartition("/")[2]
            return os.open(
                name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=above
            )
        finally:
            os.close(above)

    def status(self, path: str) -> os.stat_result | None:
        """What is at a path, a link itself; None when nothing is."""
        if path == ROOT:
            return os.fstat(self.root)
        try:
            above = self.directory(parent(path), _LOOK_UP)
            try:
                name = path.rpartition("/")[2]
                return os.stat(name, dir_fd=above, follow_symlinks=False)
            finally:
                os.close(above)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise

    def is_same(self, path: str, status: os.stat_result) -> bool:
        """Whether the file of that status is what lies at a path.

        One system call, since a link on the way could only lead to another file.
        """
        try:
            found = os.stat(path[1:], dir_fd=self.root, follow_symlinks=False)
        except OSError as error:
            if error.errno in ABSENT:
                return False
            raise
        return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)

    def statuses(self, path: str, names: list[str]) -> list[os.stat_result | None]:
        """What is at several names of one directory; None where nothing is.

        Raises:
            OSError: with an errno of `ABSENT` when there is no such directory.
        """
        found: list[os.stat_result | None] = []
        above = self.directory(path, _LOOK_UP)
        try:
            for name in names:
                try:
                    found.append(os.stat(name, dir_fd=above, follow_symlinks=False))
                except FileNotFoundError:
                    found.append(None)
        finally:
            os.close(above)
        return found

    def names(self, path: str) -> Names:
        """The names in a directory.

        Raises:
            OSError: with an errno of `ABSENT` when there is none.
        """
        found = Names()
        here = self.directory(path)
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        found.directories.append(entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        found.files.append(entry.name)
                    else:
                        found.others.append(entry.name)
        finally:
            os.close(here)
        return found

    def has_object(self, path: str) -> bool:
        """Whether an object lies below a directory, however deep."""
        return bool(self.object_below(path))

    def object_below(self, path: str) -> str:
        """The path of some object below a directory, however deep; "" without one.

        The first is enough, so this is cheap but for directories of empty ones. A chain
        of directories is followed by one step each.
        """
        pending = [path]
        above, here = "", -1
        try:
            while pending:
                directory = pending.pop()
                before = here
                try:
                    if before >= 0 and parent(directory) == above:
                        name = directory.rpartition("/")[2]
                        here = os.open(name, _OPEN, dir_fd=before)
                    else:
                        here = self.directory(directory)
                except OSError as error:
                    if error.errno in ABSENT:
                        continue
                    raise
                above = directory
                if before >= 0:
                    os.close(before)
                found = self._look_into(here, directory, pending)
                if found:
                    return found
            return ""
        finally:
            if here >= 0:
                os.close(here)

    @staticmethod
    def _look_into(here: int, directory: str, pending: list[str]) -> str:
        """An object right in an open directory, or ""; adds its directories."""
        with os.scandir(here) as entries:
            for entry in entries:
                if not is_visible(directory, entry.name):
                    continue
                if entry.is_file(follow_symlinks=False):
                    return join(directory, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(join(directory, entry.name))
        return ""

    def rename(self, source: str, directory: int, name: str) -> None:
        """Rename a file into an open directory.

        Raises:
            FileNotFoundError: the file or the directory is gone.
        """
        above = self.directory(parent(source), _LOOK_UP)
        try:
            old = source.rpartition("/")[2]
            os.rename(old, name, src_dir_fd=above, dst_dir_fd=directory)
        finally:
            os.close(above)

    def unlink(self, path: str) -> bool:
        """Remove a file or a link; whether there was one."""
        try:
            above = self.directory(parent(path), _LOOK_UP)
            try:
                os.unlink(path.rpartition("/")[2], dir_fd=above)
            finally:
                os.close(above)
        except OSError as error:
            if error.errno in ABSENT or error.errno == errno.EISDIR:
                return False
            raise
        return True

    def remove_empty(self, path: str) -> bool:
        """Remove a directory if it is empty; whether it is gone."""
        try:
            above = self.directory(parent(path), _LOOK_UP)
            try:
                os.rmdir(path.rpartition("/")[2], dir_fd=above)
            finally:
                os.close(above)
        except OSError as error:
            if error.errno in _HAS_ENTRIES or error.errno == errno.EBUSY:
                return False
            if error.errno in ABSENT:
                return True
            raise
        return True

    def prune(self, path: str, top: str = ROOT) -> None:
        """Remove a directory and those above it, up to the first that is not empty.

        Tidying only: an empty directory does no harm, so it never fails.

        Args:
            path: the directory to begin with.
            top: stays, though it were empty.
        """
        try:
            while path not in (top, ROOT) and self.remove_empty(path):
                path = parent(path)
        except OSError:
            pass

    def remove_all(self, path: str, *, files: bool = True) -> None:
        """Remove a directory with all that lies in it, links themselves included.

        What another thread adds meanwhile stays, and so do its directories.

        Args:
            path: the directory.
            files: False removes directories only, those that hold no file.
        """
        # A directory is on the stack twice: to be emptied, then to be removed.
        pending = [(path, False)]
        while pending:
            directory, emptied = pending.pop()
            if emptied:
                self.remove_empty(directory)
                step()
                continue
            try:
                names = self.names(directory)
            except OSError as error:
                if error.errno in ABSENT:
                    continue
                raise
            if files:
                for name in names.files + names.others:
                    self.unlink(join(directory, name))
                    step()
            pending.append((directory, True))
            pending += [(join(directory, name), False) for name in names.directories]


def is_visible(directory: str, name: str) -> bool:
    """Whether a name on disk gives a path inside the grammar."""
    return is_component(name) and len(join(directory, name)) <= PATH_BYTES_MAX


def is_object(status: os.stat_result | None) -> TypeGuard[os.stat_result]:
    """Whether what lies at a path is a regular file."""
    return status is not None and stat.S_ISREG(status.st_mode)


def is_directory(status: os.stat_result | None) -> TypeGuard[os.stat_result]:
    """Whether what lies at a path is a directory."""
    return status is not None and stat.S_ISDIR(status.st_mode)


def sync_directory(directory: int) -> None:
    """Put a directory's entries on stable storage, where the system offers that."""
    try:
        os.fsync(directory)
    except OSError as error:
        # Some network file systems cannot sync a directory; their rename is durable.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _make(name: str, above: int, durable: bool) -> None:
    try:
        os.mkdir(name, dir_fd=above)
    except FileExistsError:
        return
    if durable:
        sync_directory(above)

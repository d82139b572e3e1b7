"""Uploads in the making: their files, and who may go on with which.

A new upload of /a/b is the file ROOT/~uploads/~ID.GENERATION.PATH.open, where PATH is
a checksum of the path; most uploads go from there to their commit, and need no
directory made and removed again. Once a writer was closed without a commit, it is
ROOT/~uploads/a/b/~ID.GENERATION.kept, where a delete of /a finds it. The "~" keeps
these names outside the path grammar, and so out of every listing.

The generation in the name is the fence. A claimant raises it by renaming the file
under a lock on it; whoever writes takes the same lock and looks whether the name is
still there. The lock is `flock`: the system drops it when its process dies.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .commits import Commits, checksum
from .durable import PRUNE_RACES_MAX, pruned
from .errors import (
    Executed,
    UnavailableError,
    UploadSupersededError,
)
from .paths import join, parent
from .refusals import no_upload, superseded
from .tree import ABSENT, Tree

STAGING = "/~uploads"
CLAIM_RACES_MAX = 100
LOCK_SECONDS_MAX = 5.0
_LOCK_PAUSE_SECONDS = (0.001, 0.05)
_NAME = re.compile(r"~([0-9a-f]{32})\.([1-9][0-9]{0,8})\.(?:([0-9a-f]{8})\.open|kept)")


@dataclass(frozen=True, slots=True)
class Staged:
    """The name of an upload's file.

    Attributes:
        path: the object to be.
        upload_id: the upload.
        generation: how often it has been claimed, from 1.
        kept: whether a writer was closed without a commit.
    """

    path: str
    upload_id: str
    generation: int
    kept: bool

    @property
    def name(self) -> str:
        """The file's name in its directory."""
        state = "kept" if self.kept else f"{checksum(self.path)}.open"
        return f"~{self.upload_id}.{self.generation}.{state}"

    @property
    def directory(self) -> str:
        """The directory that the file lies in, as a tree path."""
        return STAGING + self.path if self.kept else STAGING

    @property
    def file(self) -> str:
        """The file's tree path."""
        return join(self.directory, self.name)

    @classmethod
    def parse(cls, path: str, name: str) -> Staged | None:
        """The reverse of `name`; None for the files of others and of other paths."""
        parts = _NAME.fullmatch(name)
        if parts is None or parts[3] not in (None, checksum(path)):
            return None
        return cls(path, parts[1], int(parts[2]), kept=parts[3] is None)


class Locked:
    """A `with` block that holds the lock on an upload's file.

    Args:
        descriptor: the upload's file.
        path: the object's path, for the error.

    Raises:
        UnavailableError: another has held it for `LOCK_SECONDS_MAX`.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path

    def __enter__(self) -> None:
        ends = time.monotonic() + LOCK_SECONDS_MAX
        pause_s, longest_s = _LOCK_PAUSE_SECONDS
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= ends:
                    raise UnavailableError(
                        f"another writer has held the upload for {LOCK_SECONDS_MAX} s",
                        path=self._path,
                        executed=Executed.NO,
                    ) from None
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def __exit__(self, *_: object) -> None:
        # Explicitly, since a child that is just being spawned may share the file.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)


class Uploads:
    """All uploads in the making in one tree.

    Args:
        tree: the tree.
        commits: the memory of those that were committed.
    """

    def __init__(self, tree: Tree, commits: Commits) -> None:
        self.tree = tree
        self.commits = commits

    def open(self, path: str) -> tuple[Staged, int]:
        """Begin a new upload: its name, and a descriptor of its empty file."""
        staged = Staged(path, secrets.token_hex(16), 1, kept=False)
        return staged, self.create(staged.file)

    def create(self, file: str) -> int:
        """Make a new file, and the directories that it needs."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        for _ in range(PRUNE_RACES_MAX):
            try:
                return self.tree.open_file(file, flags)
            except FileNotFoundError:
                pass
            try:
                os.close(self.tree.make_directory(parent(file), durable=False))
            except FileNotFoundError:
                continue  # pruned by another upload that ended just now
        raise pruned(None)

    def find(self, path: str, upload_id: str) -> Staged | None:
        """An upload by its id."""
        # Twice: while a claim renames a file, a listing may miss both of its names.
        for _ in range(2):
            for directory in (STAGING + path, STAGING):
                for staged in self._all(path, directory):
                    if staged.upload_id == upload_id:
                        return staged
        return None

    def claim(self, path: str, upload_id: str) -> tuple[Staged, int]:
        """Take an upload over from whoever has it.

        Raises:
            UploadNotFoundError: there is none of that id.
        """
        for _ in range(CLAIM_RACES_MAX):
            staged = self.find(path, upload_id)
            if staged is None:
                raise no_upload(path, upload_id)
            claimed = self._claim(staged)
            if claimed is not None:
                return claimed
        raise _overrun(path)

    def claim_kept(self, path: str) -> tuple[Staged, int] | None:
        """Take over the upload that is kept for a path; None without one."""
        for _ in range(CLAIM_RACES_MAX):
            kept = self._kept(path) or self._kept(path)  # twice, as in `find`
            if not kept:
                return None
            claimed = self._claim(kept[-1][1])
            if claimed is not None:
                # Only two that were closed at the same time leave more than one.
                for _, older in kept[:-1]:
                    self.drop(older)
                return claimed
        raise _overrun(path)

    def keep(self, staged: Staged, target: int) -> None:
        """Keep an upload, in place of any other that is kept for its path.

        The caller holds the lock on the file and has checked that it is the owner.
        Of several the one with the latest time counts; it is set here, so that
        neither a coarse clock nor one that was set back can mix them up.
        """
        others = self._kept(staged.path, other_than=staged.upload_id)
        now_ns = max([time.time_ns(), *(time_ns + 1 for time_ns, _ in others)])
        os.utime(target, ns=(now_ns, now_ns))
        if not staged.kept:
            self._rename(staged, replace(staged, kept=True))
        for time_ns, other in self._kept(staged.path, other_than=staged.upload_id):
            if time_ns <= now_ns:
                self.drop(other)

    def drop(self, staged: Staged) -> bool:
        """Remove an upload; whether it was still there."""
        # The mark of a commit that failed half-way would now count as one that
        # succeeded, so it has to go first.
        self.commits.forget(staged.path, staged.upload_id)
        return self.tree.unlink(staged.file)

    def drop_below(self, path: str) -> bool:
        """Drop the uploads kept for a path and below it; whether there were any.

        What an open writer has stays: it is no kept upload yet.
        """
        dropped = False
        for directory in self._directories(path):
            for _, staged in self._kept(directory):
                dropped |= self.drop(staged)
            self.tree.prune(STAGING + directory, STAGING)
        return dropped

    def prune(self, staged: Staged) -> None:
        """Remove the directories that an upload needed, where they are now empty."""
        self.tree.prune(staged.directory, STAGING)

    def owns(self, staged: Staged, target: int) -> bool:
        """Whether an open file still has the name that its writer knows."""
        return self.tree.is_same(staged.file, os.fstat(target))

    def _claim(self, staged: Staged) -> tuple[Staged, int] | None:
        """Raise an upload's generation; None when another did so just before."""
        try:
            target = self.tree.open_file(staged.file, os.O_RDWR)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        claimed = replace(staged, generation=staged.generation + 1)
        try:
            with Locked(target, staged.path):
                self._rename(staged, claimed)
                os.utime(target)  # its age counts from now
            self.commits.forget(staged.path, staged.upload_id)
        except UploadSupersededError:
            os.close(target)
            return None
        except BaseException:
            os.close(target)
            raise
        return claimed, target

    def _rename(self, staged: Staged, new: Staged) -> None:
        """Give an upload's file its next name, if it still has the one known."""
        for _ in range(PRUNE_RACES_MAX):
            if self.tree.status(staged.file) is None:
                raise superseded(staged.path)
            try:
                directory = self.tree.make_directory(new.directory, durable=False)
            except FileNotFoundError:
                continue
            try:
                self.tree.rename(staged.file, directory, new.name)
                return
            except FileNotFoundError:
                continue
            finally:
                os.close(directory)
        raise pruned(staged.path)

    def _kept(self, path: str, other_than: str = "") -> list[tuple[int, Staged]]:
        """The uploads kept for a path with the times they were kept, latest last."""
        found = []
        for staged in self._all(path, STAGING + path):
            if staged.upload_id != other_than:
                status = self.tree.status(staged.file)
                if status is not None:
                    found.append((status.st_mtime_ns, staged))
        return sorted(found, key=lambda pair: pair[0])

    def _all(self, path: str, directory: str) -> list[Staged]:
        """The uploads of one path in one directory."""
        try:
            files = self.tree.names(directory).files
        except OSError as error:
            if error.errno in ABSENT:
                return []
            raise
        found = (Staged.parse(path, name) for name in files)
        return [staged for staged in found if staged is not None]

    def _directories(self, path: str) -> Iterator[str]:
        """A path and all below it that have staging directories."""
        pending = [path]
        while pending:
            directory = pending.pop()
            try:
                names = self.tree.names(STAGING + directory).directories
            except OSError as error:
                if error.errno in ABSENT:
                    continue
                raise
            yield directory
            pending += [join(directory, name) for name in names]


def _overrun(path: str) -> UnavailableError:
    return UnavailableError(
        f"others claimed the upload {CLAIM_RACES_MAX} times meanwhile",
        path=path,
        executed=Executed.NO,
    )

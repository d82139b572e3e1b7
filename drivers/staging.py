"""Uploads in the making: their files, and who may go on with which.

Of an upload of /a/b with the id ID there may be on disk, PATH being a checksum of its
path:

    ROOT/~uploads/~ID.PATH.upload   its bytes, until the commit renames them to ROOT/a/b
    ROOT/~uploads/~ID.PATH.claims   a link with its generation, once it was claimed
    ROOT/~uploads/a/b/~kept         a link with ID, once it was closed without a commit

No name is ever searched for in a directory that changes: who knows path and id knows
the names, and one link says which upload is kept. It lies where a delete of /a finds
it. The "~" keeps all of these outside the path grammar, and so out of every listing.

The generation is the fence. A claimant raises it under a lock on the upload's file;
whoever writes takes the same lock and looks at the generation first. The lock is
`flock`: the system drops it when its process dies.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .commits import Commits, checksum
from .errors import Executed, UnavailableError, UploadNotFoundError
from .links import add_link, read_link, set_link, take_link
from .locked import Locked
from .paths import join, parent
from .refusals import PRUNE_RACES_MAX, no_upload, pruned
from .tree import ABSENT, Tree

STAGING = "/~uploads"
KEPT = "~kept"
KEPT_RACES_MAX = 100
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Staged:
    """An upload and the generation of one of its claimants.

    Attributes:
        path: the object to be.
        upload_id: the upload.
        generation: how often it has been claimed, from 1.
    """

    path: str
    upload_id: str
    generation: int = 1

    @property
    def file(self) -> str:
        """Tree path of its bytes."""
        return f"{STAGING}/~{self.upload_id}.{checksum(self.path)}.upload"

    @property
    def claims(self) -> str:
        """Tree path of the link with its generation."""
        return f"{STAGING}/~{self.upload_id}.{checksum(self.path)}.claims"


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
        staged = Staged(path, secrets.token_hex(16))
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
                continue
        raise pruned(None)

    def size(self, path: str, upload_id: str) -> int | None:
        """Bytes of an upload; None when there is none of that id."""
        if not _ID.fullmatch(upload_id):
            return None
        status = self.tree.status(Staged(path, upload_id).file)
        return None if status is None else status.st_size

    def claim(self, path: str, upload_id: str) -> tuple[Staged, int]:
        """Take an upload over from whoever has it.

        Raises:
            UploadNotFoundError: there is none of that id.
        """
        if not _ID.fullmatch(upload_id):
            raise no_upload(path, upload_id)
        staged = Staged(path, upload_id)
        try:
            target = self.tree.open_file(staged.file, os.O_RDWR)
        except OSError as error:
            if error.errno in ABSENT:
                raise no_upload(path, upload_id) from None
            raise
        try:
            with Locked(target, path):
                if not self.tree.is_same(staged.file, os.fstat(target)):
                    raise no_upload(path, upload_id)
                claimed = replace(staged, generation=self._generation(staged) + 1)
                set_link(self.tree, staged.claims, str(claimed.generation))
                os.utime(target)  # its age counts from now
                # Of a commit that did not get to its rename.
                self.commits.forget(path, upload_id)
        except BaseException:
            os.close(target)
            raise
        return claimed, target

    def claim_kept(self, path: str) -> tuple[Staged, int] | None:
        """Take over the upload that is kept for a path; None without one."""
        before = None
        for _ in range(KEPT_RACES_MAX):
            upload_id = self._kept(path)
            if upload_id is None or upload_id == before:
                return None  # none, or one that a crash left behind
            try:
                return self.claim(path, upload_id)
            except UploadNotFoundError:
                before = upload_id  # perhaps replaced just now
        return None

    def keep(self, staged: Staged) -> None:
        """Keep an upload, in place of any other that is kept for its path.

        The caller holds the lock on the file and has checked that it is the owner.
        """
        for _ in range(KEPT_RACES_MAX):
            if self._kept(staged.path) == staged.upload_id:
                return
            if add_link(self.tree, _kept_link(staged.path), staged.upload_id):
                return
            # Whoever takes an upload out of its place also removes it, so none is
            # left over, however many are closed at once.
            before = take_link(self.tree, _kept_link(staged.path))
            if before is not None and before != staged.upload_id:
                self._remove(Staged(staged.path, before))
        raise UnavailableError(
            f"{KEPT_RACES_MAX} other uploads were kept meanwhile",
            path=staged.path,
            executed=Executed.NO,
        )

    def drop(self, staged: Staged) -> bool:
        """Remove an upload; whether it was still there."""
        was_there = self._remove(staged)
        self.forget_kept(staged)
        return was_there

    def ended(self, staged: Staged) -> None:
        """Remove what is left of an upload whose file has become the object."""
        self.tree.unlink(staged.claims)
        self.forget_kept(staged)

    def drop_below(self, path: str) -> bool:
        """Drop the uploads kept for a path and below it; whether there were any.

        What a new writer has stays: it is no kept upload yet.
        """
        dropped = False
        for directory in self._directories(path):
            upload_id = self._kept(directory)
            if upload_id is not None:
                dropped |= self.drop(Staged(directory, upload_id))
            self.tree.prune(STAGING + directory, STAGING)
        return dropped

    def owns(self, staged: Staged, target: int) -> bool:
        """Whether an upload is still there, and this claimant its last."""
        return (
            self.tree.is_same(staged.file, os.fstat(target))
            and self._generation(staged) == staged.generation
        )

    def forget_kept(self, staged: Staged) -> None:
        """Keep an upload no longer, if it is the one that is kept for its path."""
        if self._kept(staged.path) != staged.upload_id:
            return
        taken = take_link(self.tree, _kept_link(staged.path))
        if taken is None or taken == staged.upload_id:
            self.tree.prune(STAGING + staged.path, STAGING)
        elif not add_link(self.tree, _kept_link(staged.path), taken):
            # It was kept just now, and its place given to yet another meanwhile.
            self._remove(Staged(staged.path, taken))

    def _remove(self, staged: Staged) -> bool:
        # The mark of a commit that did not get to its rename would now count, so it
        # goes first; and a former claimant would count as the last one if the file
        # outlived the claims.
        self.commits.forget(staged.path, staged.upload_id)
        was_there = self.tree.unlink(staged.file)
        self.tree.unlink(staged.claims)
        return was_there

    def _generation(self, staged: Staged) -> int:
        claims = read_link(self.tree, staged.claims)
        return 1 if claims is None else int(claims)

    def _kept(self, path: str) -> str | None:
        upload_id = read_link(self.tree, _kept_link(path))
        return upload_id if upload_id and _ID.fullmatch(upload_id) else None

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


def _kept_link(path: str) -> str:
    return join(STAGING + path, KEPT)

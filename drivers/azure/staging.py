"""One upload as a blob of its own: its blocks, and who may take its next step.

The upload ID of PATH is the blob ROOT~uploads/PATH/~ID. What its block list names is
stored; blocks that were staged since follow. Blocks of a blob that no list names are
shared by all who write to it, and the next list drops them: that is why an upload is
staged here, where nobody else writes, and not at the object itself.

Every step (a claim, a close, a commit) is a write on condition of the ETag that the
last one left. So of two hands that saw the same state one goes on, and the other is
told that it is superseded. Metadata says the generation, whose turn it is, and how far
the upload is. A step carries a name of its own: where the SDK had to send it twice, its
author finds that what is in the way is its own first try.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from ..errors import (
    PathNotFoundError,
    PreconditionError,
    TooLargeError,
    UnavailableError,
    UploadNotFoundError,
    UploadSupersededError,
)
from ..objectstore.store import Found, unquoted
from .blocks import BLOCKS_MAX, OWNER_CHARACTERS, Block, blocks_of
from .container import Container

CLAIM_RACES_MAX = 20
_GENERATION = "storagebus_generation"
_OWNER = "storagebus_owner"
_STAGE = "storagebus_stage"
_STEP = "storagebus_step"
_KEPT = "storagebus_kept"


class Stage(Enum):
    """How far an upload is.

    Attributes:
        OPEN: a writer is at work, or has vanished.
        KEPT: its writer was closed without a commit.
        COMMITTING: its writer is about to make it visible.
    """

    OPEN = "open"
    KEPT = "kept"
    COMMITTING = "committing"


@dataclass(frozen=True, slots=True)
class Step:
    """The last step of an upload.

    Attributes:
        etag: what the next step is conditional on.
        size: bytes that the block list names.
        mod_time: when the step was taken.
        generation: how often the upload has been claimed, from 1.
        owner: whose turn it is; the beginning of the names of that one's blocks.
        stage: how far the upload is.
        name: of the step; differs in every one ever taken.
        kept: above 0 when the upload was closed without a commit, and for its claimants
            too; of the kept uploads of a path the one with the highest number counts.
    """

    etag: str
    size: int
    mod_time: datetime | None
    generation: int
    owner: str
    stage: Stage
    name: str
    kept: int = 0


def step_of(found: Found) -> Step | None:
    """The step that a blob's metadata tell of; None for a blob that is no upload."""
    try:
        return Step(
            etag=found.etag,
            size=found.size,
            mod_time=found.mod_time,
            generation=int(found.metadata[_GENERATION]),
            owner=found.metadata[_OWNER],
            stage=Stage(found.metadata[_STAGE]),
            name=found.metadata[_STEP],
            kept=int(found.metadata[_KEPT]),
        )
    except (KeyError, ValueError):
        return None


def new_owner() -> str:
    """A name for a writer."""
    return secrets.token_hex(OWNER_CHARACTERS // 2)


class Staging:
    """The blob of one upload.

    Args:
        container: where it is.
        path: the object to be.
        upload_id: the upload.
    """

    def __init__(self, container: Container, path: str, upload_id: str) -> None:
        self.path = path
        self.upload_id = upload_id
        self.key = f"{container.uploads}{path[1:]}/~{upload_id}"
        self._container = container

    def begin(self) -> Step:
        """Make the blob of a new upload, without a block."""
        return self._write([], "", 1, new_owner(), Stage.OPEN)

    def look(self) -> Step | None:
        """The last step, or None when the upload has ended or never was."""
        found = self._container.head(self.key, self.path)
        return None if found is None else step_of(found)

    def blocks(self, step: Step) -> list[Block]:
        """The blocks that a claim would start from.

        Those that the block list names, and those that the owner has staged since, as
        far as they follow without a gap.
        """
        try:
            named, staged = self._container.call(
                "get_block_list", self.key, self.path, "all"
            )
        except PathNotFoundError:
            raise UploadNotFoundError(path=self.path) from None
        blocks = [Block(block.id, block.size) for block in named]
        count = sum(block.id.startswith(step.owner) for block in blocks)
        found = {block.id: block.size for block in staged}
        return blocks + blocks_of(step.owner, count, found)

    def advance(
        self, step: Step, blocks: list[Block], stage: Stage, kept: int | None = None
    ) -> Step:
        """Take the next step, as the one who took `step`.

        Args:
            step: the author's last.
            blocks: what the upload consists of from now on.
            stage: how far the upload is from now on.
            kept: see `Step`; None leaves it as it is.

        Raises:
            UploadSupersededError: somebody else has taken a step, or ended the upload.
        """
        kept = step.kept if kept is None else kept
        return self._write(blocks, step.etag, step.generation, step.owner, stage, kept)

    def touch(self, step: Step) -> Step:
        """Take a step that changes nothing: shows others, and the reaper, who is here.

        Raises:
            UploadSupersededError: somebody else has taken a step, or ended the upload.
        """
        name = secrets.token_hex(8)
        metadata = _metadata(step.generation, step.owner, step.stage, name, step.kept)
        try:
            reply = self._container.call(
                "set_blob_metadata",
                self.key,
                self.path,
                metadata,
                if_match=step.etag,
            )
        except (PreconditionError, PathNotFoundError):
            return self._own(name)
        return Step(
            unquoted(reply["etag"]), step.size, reply["last_modified"],
            step.generation, step.owner, step.stage, name, step.kept,
        )  # fmt: skip

    def claim(self) -> tuple[Step, list[Block]]:
        """Take the upload over from whoever has it.

        Returns:
            The claimant's step, and the blocks that are stored.

        Raises:
            UploadNotFoundError: it has ended, or never was.
        """
        for _ in range(CLAIM_RACES_MAX):
            step = self.look()
            if step is None:
                raise UploadNotFoundError(path=self.path)
            blocks = self.blocks(step)
            generation = step.generation + 1
            try:
                claimed = self._write(
                    blocks, step.etag, generation, new_owner(), Stage.OPEN, step.kept
                )
            except UploadSupersededError:
                continue
            return claimed, blocks
        raise UnavailableError("too many writers claim this upload", path=self.path)

    def erase(self, step: Step) -> bool:
        """Remove the upload, unless somebody has taken a step since; whether it was."""
        try:
            self._container.delete(self.key, self.path, step.etag)
        except PreconditionError:
            return False
        return True

    def _write(
        self,
        blocks: list[Block],
        etag: str,
        generation: int,
        owner: str,
        stage: Stage,
        kept: int = 0,
    ) -> Step:
        """Write a block list on condition of an ETag, or that there is no blob."""
        if len(blocks) > BLOCKS_MAX:
            raise TooLargeError(f"more than {BLOCKS_MAX} blocks", path=self.path)
        name = secrets.token_hex(8)
        try:
            reply = self._container.call(
                "commit_block_list",
                self.key,
                self.path,
                _listed(blocks),
                metadata=_metadata(generation, owner, stage, name, kept),
                if_match=etag,
                if_none=not etag,
                validate_content=self._container.options.validated,
            )
        except (PreconditionError, PathNotFoundError):
            return self._own(name)
        return Step(
            unquoted(reply["etag"]), sum(block.size for block in blocks),
            reply["last_modified"], generation, owner, stage, name, kept,
        )  # fmt: skip

    def _own(self, name: str) -> Step:
        """The step of that name, when it is the last: only its reply was lost."""
        step = self.look()
        if step is not None and step.name == name:
            return step
        raise UploadSupersededError(path=self.path)


def _metadata(
    generation: int, owner: str, stage: Stage, name: str, kept: int = 0
) -> dict[str, str]:
    return {
        _GENERATION: str(generation),
        _OWNER: owner,
        _STAGE: stage.value,
        _STEP: name,
        _KEPT: str(kept),
    }


def _listed(blocks: list[Block]) -> list[Any]:
    """Blocks as the SDK lists them. No two have one name, so the latest is the one."""
    from azure.storage.blob import BlobBlock

    return [BlobBlock(block.id) for block in blocks]

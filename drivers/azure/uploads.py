"""Opening uploads: new ones, the kept one of a path, one by its id; and ending them.

A path's kept upload is the one whose metadata say so, with a number above that of the
one kept before. Of several (two were closed at once) the one with the highest number
and id counts, and the others are dropped.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

from ..contract import UploadState, UploadStatus
from ..errors import UploadNotFoundError
from ..objectstore.part_budget import PartBudget
from ..objectstore.store import attempt
from .blocks import Block
from .container import Container
from .copying import copy_blocks
from .staging import Stage, Staging, Step, step_of
from .writer import AzureWriter, Claimed

UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
CLAIM_RACES_MAX = 20


class Uploads:
    """The uploads to a container.

    Args:
        container: the container.
        budget: memory for blocks, shared by all streams.
    """

    def __init__(self, container: Container, budget: PartBudget) -> None:
        self._container = container
        self._budget = budget

    def open(self, path: str, append: bool, upload_id: str | None) -> AzureWriter:
        """A writer, as `StorageDriver.writer` has it."""
        claimed = None
        if upload_id is not None:
            claimed = self._claim_by_id(path, upload_id)
        elif append:
            claimed = self._claim_kept(path) or self._copy(path)
        return AzureWriter(
            self._container,
            claimed or self._begin(path),
            self._budget,
            self._keep,
        )

    def status(self, path: str, upload_id: str) -> UploadStatus:
        """What became of an upload."""
        if not UPLOAD_ID.fullmatch(upload_id):
            return UploadStatus(UploadState.UNKNOWN)
        staging = Staging(self._container, path, upload_id)
        step = staging.look()
        # In this order: a commit makes the object visible before its upload goes.
        if step is None or step.stage is Stage.COMMITTING:
            found = self._container.find(path)
            if found is not None and found.upload_id == upload_id:
                return UploadStatus(UploadState.COMMITTED, identity=found.etag)
        if step is None:
            return UploadStatus(UploadState.UNKNOWN)
        try:
            blocks = staging.blocks(step)
        except UploadNotFoundError:
            return self.status(path, upload_id)  # it has ended since
        durable = sum(block.size for block in blocks)
        return UploadStatus(UploadState.OPEN, durable=durable)

    def drop_below(self, path: str) -> bool:
        """Drop the kept uploads of a path and below it; whether there were any."""
        found = False
        for staging, step in self.below(f"{path[1:]}/"):
            if step.kept:
                found |= staging.erase(step)
        return found

    def below(self, prefix: str = "") -> Iterator[tuple[Staging, Step]]:
        """The uploads whose names begin with a prefix, each with its last step."""
        start = self._container.uploads
        listed = self._container.entries(start + prefix, None, metadata=True)
        for key, blob in listed:
            owner, _, upload_id = key[len(start) :].rpartition("/~")
            step = None if blob is None else step_of(blob)
            if step is not None and UPLOAD_ID.fullmatch(upload_id):
                yield Staging(self._container, f"/{owner}", upload_id), step

    def _begin(self, path: str) -> Claimed:
        staging = Staging(self._container, path, secrets.token_hex(16))
        return Claimed(staging, staging.begin(), [])

    def _claim_by_id(self, path: str, upload_id: str) -> Claimed:
        if not UPLOAD_ID.fullmatch(upload_id):
            raise UploadNotFoundError(path=path)
        staging = Staging(self._container, path, upload_id)
        if self._is_committed(staging):
            step = staging.look()
            if step is not None:
                attempt(lambda: staging.erase(step))
            raise UploadNotFoundError("it is committed", path=path)
        return Claimed(staging, *staging.claim())

    def _claim_kept(self, path: str) -> Claimed | None:
        for _ in range(CLAIM_RACES_MAX):
            kept = self._kept(path)
            if not kept:
                return None
            staging, step = kept[-1]
            if step.stage is Stage.COMMITTING and self._is_committed(staging):
                # By a writer that died before it removed the upload.
                staging.erase(step)
                continue
            try:
                return Claimed(staging, *staging.claim())
            except UploadNotFoundError:
                continue  # it has ended since it was listed
        return None

    def _is_committed(self, staging: Staging) -> bool:
        """Whether the object at the path is the one that an upload became."""
        path = staging.path
        found = self._container.find(path)
        return found is not None and found.upload_id == staging.upload_id

    def _kept(self, path: str) -> list[tuple[Staging, Step]]:
        """The kept uploads of a path, the one that counts last."""
        kept = [
            (staging, step)
            for staging, step in self.below(f"{path[1:]}/~")
            if step.kept
        ]
        return sorted(kept, key=lambda pair: (pair[1].kept, pair[0].upload_id))

    def _copy(self, path: str) -> Claimed | None:
        """A new upload that starts from the committed object, if there is one."""
        key = self._container.key(path)
        found = self._container.head(key, path)
        if found is None:
            return None
        claimed = self._begin(path)
        if not found.size:
            return claimed
        staging, step = claimed.staging, claimed.step
        try:
            blocks: list[Block] = copy_blocks(
                self._container, key, found, staging.key, path, step.owner
            )
            step = staging.advance(step, blocks, Stage.OPEN)
            return Claimed(staging, step, blocks)
        except BaseException:
            attempt(lambda: staging.erase(step))
            raise

    def _keep(self, staging: Staging, step: Step, blocks: list[Block]) -> Step:
        """Make an upload the kept one of its path; the former kept one is dropped."""
        before = self._kept(staging.path)
        turn = 1 + (before[-1][1].kept if before else 0)
        step = staging.advance(step, blocks, Stage.KEPT, turn)
        for other, former in self._kept(staging.path)[:-1]:
            attempt(lambda other=other, former=former: other.erase(former))  # type: ignore[misc]
        return step

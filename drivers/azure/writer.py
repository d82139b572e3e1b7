"""The writer: blocks while bytes come, one visible step at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import (
    PreconditionError,
    StorageError,
    TooLargeError,
    UploadSupersededError,
)
from ..objectstore.part_budget import PartBudget
from ..objectstore.part_buffer import PartBuffer
from ..objectstore.partwriter import PartWriter
from ..objectstore.sender import Sender
from ..objectstore.store import Found, attempt
from .blocks import BLOCKS_MAX, Block, block_bytes, block_id, stage_block
from .container import UPLOAD_MARK, Container
from .copying import copy_blob
from .staging import Stage, Staging, Step

TOUCH_BLOCKS = 16
"""Blocks after which a writer makes sure that the upload is still its own."""


@dataclass(slots=True)
class Claimed:
    """An upload that a writer may go on with.

    Attributes:
        staging: its blob.
        step: the writer's own.
        blocks: what is stored.
    """

    staging: Staging
    step: Step
    blocks: list[Block]


Keep = Callable[[Staging, Step, list[Block]], Step]


class AzureWriter(PartWriter):
    """An upload to a container.

    Args:
        container: where to.
        claimed: the upload.
        budget: memory for blocks, shared by all streams.
        keep: called at a close without a commit: makes this the path's kept upload.
    """

    _sender: Sender[Block]

    def __init__(
        self, container: Container, claimed: Claimed, budget: PartBudget, keep: Keep
    ) -> None:
        self._container = container
        self._staging = claimed.staging
        self._step = claimed.step
        self._blocks = claimed.blocks
        self._keep = keep
        super().__init__(
            container,
            claimed.staging.path,
            claimed.staging.upload_id,
            claimed.step.generation,
            budget,
            sum(block.size for block in claimed.blocks),
        )
        self._sender = Sender(
            container.clients,
            self._store_block,
            container.options.uploadmaxconcurrency,
            self._path,
        )
        # Numbers of blocks that this owner has copied are taken.
        self._count = sum(
            block.id.startswith(claimed.step.owner) for block in claimed.blocks
        )

    @property
    def durable(self) -> int:
        return sum(block.size for block in (*self._blocks, *self._sender.stored))

    def commit(self) -> None:
        self._check()
        with self._remembered():
            blocks = self._all_blocks()
            self._step = self._staging.advance(self._step, blocks, Stage.COMMITTING)
        self._make_visible(self._publish, self._reopen)
        self._end()
        attempt(lambda: self._staging.erase(self._step))

    def cancel(self) -> None:
        self._end()
        try:
            # Of an upload that is another writer's now, nothing is removed.
            self._staging.erase(self._step)
        except StorageError:
            if self._failure is None:
                raise
            # The first error counts; the reaper removes what is left.

    def _store_kept(self) -> None:
        self._step = self._keep(self._staging, self._step, self._all_blocks())

    def _part_bytes(self, offset: int) -> int:
        return block_bytes(offset, self._container.options.chunksize)

    def _send(self) -> None:
        if self._count == BLOCKS_MAX:
            raise TooLargeError(
                f"more than {BLOCKS_MAX} blocks: raise 'chunksize'", path=self._path
            )
        self._count += 1
        self._sender.send(self._count, self._taken())
        if self._count % TOUCH_BLOCKS == 0:
            self._step = self._staging.touch(self._step)

    def _store_block(self, number: int, buffer: PartBuffer) -> Block:
        body: Any = buffer.body()
        if self._container.options.validated and isinstance(body, bytearray):
            body = bytes(body)  # the SDK makes digests of nothing else
        name = block_id(self._step.owner, number)
        stage_block(
            self._container,
            self._staging.key,
            self._path,
            name,
            body,
            len(buffer),
        )
        return Block(name, len(buffer))

    def _all_blocks(self) -> list[Block]:
        """Store all that was accepted; every block of the upload."""
        if len(self._buffer):
            self._send()
        self._sender.drain()
        return [*self._blocks, *self._sender.stored]

    def _publish(self) -> None:
        """The visible step: the service copies the upload, if it is still our step."""
        if self._step.mod_time is None:
            raise StorageError("the service did not say when", path=self._path)
        found = Found(self._size, self._step.mod_time, self._step.etag)
        try:
            copy_blob(
                self._container,
                self._staging.key,
                found,
                self._container.key(self._path),
                self._path,
                {UPLOAD_MARK: self.upload_id},
            )
        except PreconditionError:
            step = self._staging.look()
            if step is None or step.name != self._step.name:
                raise UploadSupersededError(path=self._path) from None
            raise

    def _reopen(self) -> None:
        """After a commit that failed more may be written, or another be tried."""
        blocks = [*self._blocks, *self._sender.stored]
        self._step = self._staging.advance(self._step, blocks, Stage.OPEN)

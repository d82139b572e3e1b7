"""The writer: blocks while bytes come, one visible step at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..contract import Writer
from ..errors import PreconditionError, StorageError, UploadSupersededError
from ..part_budget import PartBudget
from ..part_buffer import PartBuffer
from .blocks import Block, BlockSender, block_bytes
from .container import UPLOAD_MARK, Container, Found, attempt
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


class AzureWriter(Writer):
    """An upload to a container.

    Args:
        container: where to.
        claimed: the upload.
        budget: memory for blocks, shared by all streams.
        keep: called at a close without a commit: makes this the path's kept upload.
    """

    def __init__(
        self, container: Container, claimed: Claimed, budget: PartBudget, keep: Keep
    ) -> None:
        self._container = container
        self._staging = claimed.staging
        self._step = claimed.step
        self._blocks = claimed.blocks
        self._budget = budget
        self._keep = keep
        self._path = claimed.staging.path
        self.upload_id = claimed.staging.upload_id
        self.generation = claimed.step.generation
        self._failure: StorageError | None = None
        self._ended = False
        self._sender = BlockSender(
            container, claimed.staging.key, self._path, claimed.step.owner
        )
        # Numbers of blocks that this owner has copied are taken.
        self._sender.count = sum(
            block.id.startswith(claimed.step.owner) for block in claimed.blocks
        )
        self._size = sum(block.size for block in claimed.blocks)
        self._sent_bytes = self._size
        self._buffer = self._new_buffer()

    @property
    def size(self) -> int:
        return self._size

    @property
    def durable(self) -> int:
        return sum(block.size for block in (*self._blocks, *self._sender.stored))

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._check()
        with _Remembered(self):
            self._add(memoryview(data))
        return len(data)

    def commit(self) -> None:
        self._check()
        with _Remembered(self):
            blocks = self._all_blocks()
            self._step = self._staging.advance(self._step, blocks, Stage.COMMITTING)
        try:
            self._publish()
        except StorageError as error:
            if not self._is_visible():
                attempt(self._reopen)
                raise error from None
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

    def close(self) -> None:
        if self._ended:
            return
        if self._failure is not None:
            # What was accepted is not all stored, so this is no upload to append to;
            # who knows its id and size can continue it.
            self._end()
            return
        try:
            with _Remembered(self):
                self._step = self._keep(self._staging, self._step, self._all_blocks())
        finally:
            self._end()

    def _new_buffer(self) -> PartBuffer:
        size = block_bytes(self._sent_bytes, self._container.options.chunksize)
        return PartBuffer(self._budget, size)

    def _add(self, view: memoryview) -> None:
        while len(view):
            if not self._buffer.room:
                self._send()
                if self._sender.count % TOUCH_BLOCKS == 0:
                    self._step = self._staging.touch(self._step)
            piece = view[: self._buffer.room]
            self._buffer.append(piece)
            self._size += len(piece)
            view = view[len(piece) :]

    def _send(self) -> None:
        """Send what is gathered as a block."""
        buffer = self._buffer
        self._sent_bytes += len(buffer)
        self._buffer = self._new_buffer()
        self._sender.send(buffer)

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
        found = Found(self._size, self._step.mod_time, self._step.etag, {})
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

    def _is_visible(self) -> bool:
        """Whether the object at the path is this upload's, though a reply was lost."""
        try:
            found = self._container.head(self._container.key(self._path), self._path)
        except StorageError:
            return False
        return (
            found is not None
            and found.upload_id == self.upload_id
            and found.size == self._size
        )

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _end(self) -> None:
        """Give memory and threads back."""
        self._ended = True
        self._sender.stop()
        self._buffer.close()


class _Remembered:
    """Remembers an error as the writer's failure: nothing can follow it but the end."""

    def __init__(self, writer: AzureWriter) -> None:
        self._writer = writer

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: object, _: object) -> None:
        if isinstance(error, StorageError):
            error.durable = self._writer.durable
            self._writer._failure = error

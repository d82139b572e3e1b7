"""Names and sizes of blocks, and sending blocks in parallel."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

from ..errors import DeadlineExceededError, TooLargeError
from ..part_buffer import PartBuffer
from .container import Container
from .parameters import BLOCK_BYTES_MAX, MIB

BLOCKS_MAX = 50_000
OBJECT_BYTES_MAX = 64 << 40
"""What fits into the blocks of one blob even when the first ones have 1 MiB."""
BLOCK_SHARE = 4_000
"""A block is at least this share of what precedes it."""
BLOCK_SECONDS_MAX = 900.0
OWNER_CHARACTERS = 16
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Block:
    """One stored block.

    Attributes:
        id: its name in the block list. All of ours have one length, as they must.
        size: bytes.
    """

    id: str
    size: int


def block_id(owner: str, number: int) -> str:
    """The name of a block: who sent it, and its place among that one's, from 1."""
    return f"{owner}{number:0{_DIGITS}}"


def block_bytes(offset: int, chunk_bytes: int) -> int:
    """How large the block at `offset` is to be.

    As large as `chunk_bytes` for the first 4,000 blocks. After them it grows with what
    precedes it, so that 64 TiB fit into 50,000 blocks though nobody says in advance
    how much will come.
    """
    grown = -(-offset // (BLOCK_SHARE * MIB)) * MIB
    return min(BLOCK_BYTES_MAX, max(chunk_bytes, grown))


def blocks_of(owner: str, after: int, found: dict[str, int]) -> list[Block]:
    """The blocks of one owner that follow its first `after`, as far as without a gap.

    Args:
        owner: whose.
        after: how many of its blocks are known already.
        found: sizes of blocks by their names.
    """
    blocks = []
    number = after + 1
    while (name := block_id(owner, number)) in found:
        blocks.append(Block(name, found[name]))
        number += 1
    return blocks


class BlockSender:
    """Stages the blocks of one writer, several at once.

    Args:
        container: where to.
        key: the blob that they belong to.
        path: the object to be, for errors.
        owner: in the names of the blocks.
    """

    def __init__(self, container: Container, key: str, path: str, owner: str) -> None:
        self._container = container
        self._key = key
        self._path = path
        self._owner = owner
        self._at_once_max = container.options.uploadmaxconcurrency
        self._sent: deque[tuple[Future[Block], PartBuffer]] = deque()
        self._stored: list[Block] = []
        self._lock = threading.Lock()
        self.count = 0

    @property
    def stored(self) -> list[Block]:
        """The blocks that are stored, up to the first that is not yet."""
        self._collect()
        return self._stored

    def send(self, buffer: PartBuffer) -> None:
        """Send a block; waits while as many as allowed are under way.

        Args:
            buffer: the bytes; belongs to the sender from now on.

        Raises:
            StorageError: of this or an earlier block.
        """
        self.count += 1
        if self.count > BLOCKS_MAX:
            buffer.close()
            raise TooLargeError(
                f"more than {BLOCKS_MAX} blocks: raise 'chunksize'", path=self._path
            )
        clients = self._container.clients
        name = block_id(self._owner, self.count)
        self._sent.append((clients.submit(self._upload, name, buffer), buffer))
        self._collect()
        while len(self._sent) >= self._at_once_max:
            self._wait()

    def drain(self) -> None:
        """Wait for all blocks.

        Raises:
            StorageError: of the first block that failed.
        """
        while self._sent:
            self._wait()

    def stop(self) -> None:
        """Give up the blocks that are not under way, and wait for the others."""
        for future, buffer in self._sent:
            if future.cancel():
                buffer.close()
        for future, _ in self._sent:
            if not future.cancelled():
                try:
                    future.exception(BLOCK_SECONDS_MAX)
                except FutureTimeoutError:
                    continue
        self._sent.clear()

    def _collect(self) -> None:
        """Take note of the blocks that are stored, as far as there is no gap."""
        with self._lock:
            while self._sent:
                future, _ = self._sent[0]
                if not future.done() or future.cancelled() or future.exception():
                    return
                self._stored.append(future.result())
                self._sent.popleft()

    def _wait(self) -> None:
        """Wait for the oldest block under way."""
        future, _ = self._sent[0]
        try:
            future.result(BLOCK_SECONDS_MAX)
        except FutureTimeoutError:
            raise DeadlineExceededError(
                f"a block took longer than {BLOCK_SECONDS_MAX:g} s", path=self._path
            ) from None
        self._collect()

    def _upload(self, name: str, buffer: PartBuffer) -> Block:
        try:
            body = buffer.body()
            stage_block(
                self._container,
                self._key,
                self._path,
                name,
                # The SDK copies a bytearray to find its length, but not bytes.
                bytes(body) if isinstance(body, bytearray) else body,
                len(buffer),
            )
            return Block(name, len(buffer))
        finally:
            buffer.close()


def stage_block(
    container: Container, key: str, path: str, name: str, body: object, length: int
) -> None:
    """Store one block of a blob; it shows once a block list names it."""
    container.call(
        "stage_block",
        key,
        path,
        name,
        body,
        length=length,
        validate_content=container.options.validated,
    )

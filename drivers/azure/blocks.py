"""Names and sizes of blocks, and how one is stored."""

from __future__ import annotations

from dataclasses import dataclass

from ..objectstore.parameters import MIB
from .container import Container
from .parameters import BLOCK_BYTES_MAX

BLOCKS_MAX = 50_000
OBJECT_BYTES_MAX = 64 << 40
"""What fits into the blocks of one blob even when the first ones have 1 MiB."""
BLOCK_SHARE = 4_000
"""A block is at least this share of what precedes it."""
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

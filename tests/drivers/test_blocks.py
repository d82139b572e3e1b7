"""Bytes in memory that share their blocks."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers import blocks
from storagebus.drivers.blocks import BLOCK_BYTES, Appender, Blocks

DATA = random.Random(17).randbytes(5_000)


@given(
    st.lists(st.binary(min_size=1, max_size=9)), st.integers(0, 99), st.integers(0, 99)
)
def test_any_range_of_any_blocks(pieces: list[bytes], start: int, end: int) -> None:
    whole = b"".join(pieces)
    content = Blocks(tuple(pieces))
    assert content.size == len(whole)
    assert content.read(start, end) == whole[start:end]
    last = min(end, len(whole))
    assert b"".join(content.slices(start, last)) == whole[start:last]


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(0, 60))
def test_appending_in_any_sizes(sizes: list[int], start: int) -> None:
    before, blocks.BLOCK_BYTES = blocks.BLOCK_BYTES, 16
    try:
        first = Appender(Blocks())
        first.append(DATA[:start])
        content = first.freeze()
        grown = Appender(content)
        at = start
        for size in sizes:
            grown.append(bytearray(DATA[at : at + size]))
            at += size
            assert grown.size == at
        frozen = grown.freeze()
        assert frozen.read(0, at) == DATA[:at]
        assert content.read(0, start) == DATA[:start]
        # Small pieces are put together, however many there are.
        assert len(frozen.pieces) <= 2 * at // 16 + 2
    finally:
        blocks.BLOCK_BYTES = before


def test_what_was_frozen_does_not_change() -> None:
    grown = Appender(Blocks())
    grown.append(b"12345")
    content = grown.freeze()
    grown.append(b"678")
    assert content.read(0, 9) == b"12345"
    assert grown.freeze().read(0, 9) == b"12345678"


def test_large_blocks_are_shared_and_not_copied() -> None:
    large = bytes(3 * BLOCK_BYTES)
    first = Appender(Blocks())
    first.append(large)
    content = first.freeze()
    again = Appender(content)
    again.append(b"more")
    assert again.freeze().pieces[0] is content.pieces[0] is large
    assert content.read(0, content.size) is large

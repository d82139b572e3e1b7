"""Names and sizes of blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.azure.blocks import (
    BLOCKS_MAX,
    OBJECT_BYTES_MAX,
    Block,
    block_bytes,
    block_id,
    blocks_of,
)
from storagebus.drivers.azure.parameters import BLOCK_BYTES_MAX, BLOCK_BYTES_MIN

OWNER = "0123456789abcdef"


def test_the_largest_object_fits_into_the_blocks_of_one_blob() -> None:
    offset = count = 0
    while offset < OBJECT_BYTES_MAX:
        size = block_bytes(offset, BLOCK_BYTES_MIN)
        assert BLOCK_BYTES_MIN <= size <= BLOCK_BYTES_MAX
        offset += size
        count += 1
    assert count <= BLOCKS_MAX


@given(st.integers(1, BLOCKS_MAX), st.integers(1, BLOCKS_MAX))
def test_names_have_one_length_and_keep_their_order(one: int, other: int) -> None:
    first, second = block_id(OWNER, one), block_id(OWNER, other)
    assert len(first) == len(second) <= 64
    assert (first < second) == (one < other)


@given(st.sets(st.integers(1, 40)), st.integers(0, 10))
def test_blocks_count_up_to_the_first_gap(numbers: set[int], after: int) -> None:
    found = {block_id(OWNER, number): number for number in numbers}
    found[block_id("f" * 16, after + 1)] = 7  # another owner's
    expected = []
    number = after + 1
    while number in numbers:
        expected.append(Block(block_id(OWNER, number), number))
        number += 1
    assert blocks_of(OWNER, after, found) == expected

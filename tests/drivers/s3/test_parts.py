"""Sizes of parts: 5 TiB fit, whatever the first part's size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.s3.parameters import MIB, PART_BYTES_MAX, PART_BYTES_MIN
from storagebus.drivers.s3.parts import OBJECT_BYTES_MAX, part_bytes
from storagebus.drivers.s3.record import PARTS_MAX


@pytest.mark.parametrize("chunk_bytes", [PART_BYTES_MIN, 10 * MIB, 100 * MIB])
def test_the_largest_object_fits(chunk_bytes: int) -> None:
    offset = parts = 0
    while offset < OBJECT_BYTES_MAX:
        offset += part_bytes(offset, chunk_bytes)
        parts += 1
    assert parts <= 9_700 < PARTS_MAX


def test_the_first_parts_have_the_size_asked_for() -> None:
    assert {part_bytes(n * 10 * MIB, 10 * MIB) for n in range(1_250)} == {10 * MIB}
    assert part_bytes(1_300 * 10 * MIB, 10 * MIB) == 11 * MIB


@given(st.integers(0, OBJECT_BYTES_MAX), st.integers(PART_BYTES_MIN, PART_BYTES_MAX))
def test_a_part_is_one_that_a_server_takes(offset: int, chunk_bytes: int) -> None:
    size = part_bytes(offset, chunk_bytes)
    assert chunk_bytes <= size <= PART_BYTES_MAX
    assert size <= part_bytes(offset + MIB, chunk_bytes)

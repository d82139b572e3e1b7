"""Random content, and how a difference from it is described."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.conformance import expect
from storagebus.drivers.conformance.data import BLOCK_BYTES, Content, compare_stream

SIZES = st.integers(0, 3 * BLOCK_BYTES + 5)


@given(size=SIZES, offset=SIZES, length=SIZES)
def test_any_range_is_the_range_of_the_whole(
    size: int, offset: int, length: int
) -> None:
    content = Content("seed", size)
    whole = bytes(content)
    assert len(whole) == size
    assert content.read(offset, length) == whole[offset : offset + length]


@given(size=SIZES, piece=st.integers(1000, 2 * BLOCK_BYTES), offset=SIZES)
def test_pieces_make_the_whole(size: int, piece: int, offset: int) -> None:
    content = Content("seed", size)
    pieces = list(content.pieces(piece, offset))
    assert b"".join(pieces) == bytes(content)[offset:]
    assert all(len(each) == piece for each in pieces[:-1])


def test_seeds_and_positions_give_different_bytes() -> None:
    first, second = (bytes(Content(seed, 4 * BLOCK_BYTES)) for seed in "ab")
    blocks = {
        data[start : start + 512]
        for data in (first, second)
        for start in range(0, len(data), 512)
    }
    assert len(blocks) == 2 * 4 * BLOCK_BYTES // 512


@given(data=st.binary(max_size=200), other=st.binary(max_size=200), shared=st.binary())
def test_the_first_difference_is_the_first(
    data: bytes, other: bytes, shared: bytes
) -> None:
    left, right = shared + data, shared + other
    at = expect.first_difference(left, right)
    assert left[:at] == right[:at]
    assert at == min(len(left), len(right)) or left[at] != right[at]


def compare(expected: Content, got: bytes, offset: int = 0) -> None:
    compare_stream(io.BytesIO(got), expected, "it", offset=offset, piece=1000)


def test_equal_streams_pass() -> None:
    content = Content("seed", 5000)
    compare(content, bytes(content))
    compare(content, bytes(content)[1234:], offset=1234)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[:4321] + b"\0" + data[4322:], "it: differs from byte 4321"),
        (lambda data: data[:4999], "expected 1000 bytes from offset 4000, got 999"),
        (lambda data: data + b"x", "expected the end at byte 5000, got more bytes"),
        (
            lambda data: data[:100] + data[500:600] + data[200:],
            "which belongs at byte 500",
        ),
    ],
)
def test_a_difference_is_described(change: object, says: str) -> None:
    content = Content("seed", 5000)
    data = bytes(content)
    assert callable(change)
    with pytest.raises(expect.Failure, match=says):
        compare(content, change(data))

"""client/uploads.py: what is kept of an upload, to be sent again after a loss."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.client.uploads import RETAINED_BYTES_MAX, Retained
from storagebus.drivers.errors import DataLossError


@given(
    st.integers(0, 100),
    st.lists(st.binary(min_size=1, max_size=50), max_size=20),
    st.integers(0, 500),
    st.data(),
)
def test_what_is_kept_is_found_by_its_place(
    start: int, pieces: list[bytes], durable: int, data: st.DataObject
) -> None:
    retained = Retained(start)
    for piece in pieces:
        retained.add(piece)
    whole = bytes(start) + b"".join(pieces)
    retained.drop(durable)
    assert retained.end == len(whole)
    # Whole pieces are dropped, never a byte that is not durable.
    assert retained.start <= max(start, durable)
    place = data.draw(st.integers(retained.start, retained.end))
    assert b"".join(map(bytes, retained.since(place))) == whole[place:]


def test_what_is_not_kept_is_an_error_and_no_gap() -> None:
    retained = Retained(10)
    retained.add(b"abc")
    retained.add(b"def")
    retained.drop(13)
    for place in (12, 17):
        with pytest.raises(DataLossError) as caught:
            retained.since(place)
        assert caught.value.offset == place


def test_no_more_is_kept_than_the_bound() -> None:
    retained = Retained(0)
    data = random.Random(3).randbytes(1 << 20)
    for _ in range(20):
        retained.add(data)
        assert retained.end - retained.start <= RETAINED_BYTES_MAX
    assert retained.end == 20 << 20
    assert b"".join(map(bytes, retained.since(retained.start + 5))).startswith(data[5:])

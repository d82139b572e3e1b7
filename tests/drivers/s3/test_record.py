"""Records: what is stored of an upload comes back, and damage is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.errors import DataLossError
from storagebus.drivers.s3.record import Part, Record, Stage, decode, encode

counts = st.integers(0, 1 << 50)
texts = st.text(max_size=40)


@st.composite
def records(draw: st.DrawFn) -> Record:
    numbers = sorted(draw(st.sets(st.integers(1, 10_000), max_size=8)))
    return Record(
        stage=draw(st.sampled_from(Stage)),
        nonce=draw(texts),
        generation=draw(counts),
        multipart=draw(texts),
        parts=tuple(Part(number, draw(texts), draw(counts)) for number in numbers),
        reserved=draw(counts),
        tail_at=draw(counts),
        tail_size=draw(counts),
        linked=draw(st.booleans()),
    )


@given(records(), st.binary(max_size=300))
def test_comes_back_with_its_tail(record: Record, tail: bytes) -> None:
    assert decode(encode(record, tail)) == (record, tail)


@given(st.binary(max_size=200))
def test_what_is_no_record_is_data_loss(stored: bytes) -> None:
    with pytest.raises(DataLossError):
        decode(stored)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version":1', b'"version":2'),
        (b'"open"', b'"opened"'),
        (b'"reserved":0', b'"reserved":-1'),
        (b'"reserved":0', b'"reserved":"0"'),
        (b'"reserved":0', b'"reserved":true'),
        (b'[1,"a",5],[2,', b'[2,"a",5],[2,'),
        (b'"generation"', b'"gen"'),
    ],
)
def test_damage_is_data_loss(old: bytes, new: bytes) -> None:
    record = Record(Stage.OPEN, "n", parts=(Part(1, "a", 5), Part(2, "b", 6)))
    stored = encode(record)
    assert old in stored
    with pytest.raises(DataLossError):
        decode(stored.replace(old, new))


def test_durable_counts_parts_and_tail() -> None:
    record = Record(
        Stage.KEPT, "n", parts=(Part(1, "a", 5), Part(2, "b", 6)), tail_size=3
    )
    assert record.durable == 14

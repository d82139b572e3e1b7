"""Where the bytes of downloads come from."""

import io
import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.broker.flow import ALIGNED_BYTES
from storagebus.drivers.contract import Reader
from storagebus.workers import sources
from storagebus.workers.sources import ObjectSource, PageSource


class BytesReader(io.BytesIO, Reader):
    identity = "one"


@given(
    st.binary(max_size=300),
    st.none() | st.integers(0, 400),
    st.lists(st.integers(1, 100), min_size=1),
)
def test_an_object_is_read_to_its_end_or_the_length_asked_for(data, length, sizes):
    given = data if length is None else data[:length]
    source = ObjectSource(BytesReader(given), length)
    found = b""
    for step in range(500):
        size = sizes[step % len(sizes)]
        pieces, last = source.read(size)
        assert all(0 < len(piece) <= size for piece in pieces)
        found += b"".join(pieces)
        if last:
            break
    assert found == given
    assert last


def test_pieces_end_at_multiples_in_one_read_or_several(monkeypatch):
    monkeypatch.setattr(sources, "READ_TIME_S", 60.0)
    data = random.randbytes(3 * ALIGNED_BYTES + 5)
    source = ObjectSource(BytesReader(data), None)
    first, last = source.read(1000)
    assert (first, last) == ([data[:1000]], False)
    rest = []
    while not last:
        pieces, last = source.read(2 * ALIGNED_BYTES - 1000)
        rest += pieces
    assert b"".join(first + rest) == data
    assert [len(piece) for piece in rest] == [
        ALIGNED_BYTES - 1000,
        ALIGNED_BYTES,
        ALIGNED_BYTES,
        5,
    ]


def test_what_a_slow_store_has_given_does_not_wait_for_more(monkeypatch):
    monkeypatch.setattr(sources, "READ_TIME_S", 0.0)
    source = ObjectSource(BytesReader(bytes(3 * ALIGNED_BYTES)), None)
    pieces, last = source.read(2 * ALIGNED_BYTES)
    assert [len(piece) for piece in pieces] == [ALIGNED_BYTES]
    assert not last


def test_reading_nothing_is_not_the_end():
    source = ObjectSource(BytesReader(b"abc"), None)
    assert source.read(0) == ([], False)
    assert source.read(10) == ([b"abc"], True)


entries = st.lists(st.text(st.characters(codec="utf-8"), max_size=9000), max_size=40)


@given(entries, st.integers(1, 100_000))
def test_pages_hold_every_entry_once_in_order(entries, size):
    source = PageSource(iter(entries))
    found, last = [], False
    while not last:
        pages, last = source.read(size)
        assert last or pages
        for page in pages:
            items = msgpack.unpackb(page)
            assert items
            assert len(page) <= 16_384 or len(items) == 1
            found += items
        assert sum(map(len, pages[:-1])) <= size
    assert found == entries


def test_pages_are_full():
    names = [f"/{number:06}" for number in range(10_000)]
    pages, last = PageSource(iter(names)).read(1 << 20)
    assert last
    assert all(len(page) > 16_000 for page in pages[:-1])


def test_a_slow_store_still_shows_life(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(sources.time, "monotonic", lambda: next(clock) / 100)
    source = PageSource(iter(range(1000)))
    pages, last = source.read(1 << 20)
    assert not last
    (page,) = pages
    assert 0 < len(msgpack.unpackb(page)) < 1000


def test_closing_closes_the_iterator_and_ends_the_pages():
    closed = []
    source = PageSource(iter(range(10)), lambda: closed.append(True))
    source.close()
    assert closed == [True]
    assert source.read(100) == ([], True)


@pytest.mark.parametrize("count", [1, 15, 16, 300])
def test_page_heads(count):
    rng = random.Random(count)
    items = [rng.randrange(100) for _ in range(count)]
    pages, _ = PageSource(iter(items)).read(1 << 20)
    assert msgpack.unpackb(pages[0]) == items

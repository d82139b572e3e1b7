"""Ranges read ahead: what is read is the object, within the budget, and given back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import wait_until

from storagebus.drivers.errors import UnavailableError
from storagebus.drivers.objectstore.clients import Clients
from storagebus.drivers.objectstore.part_budget import PartBudget
from storagebus.drivers.objectstore.readahead import Ahead, RangeReader

CONTENT = Random(31).randbytes(10_000)


class Range:
    """Bytes as they are consumed, in small pieces."""

    def __init__(self, first: int, end: int) -> None:
        self.at, self.end, self.closed = first, end, False

    def read(self, count: int) -> bytes:
        data = CONTENT[self.at : min(self.at + min(count, 300), self.end)]
        self.at += len(data)
        return data

    def close(self) -> None:
        self.closed = True


class Source:
    path = "/a"
    etag = "e"

    def __init__(self) -> None:
        self.streamed: list[tuple[int, int]] = []
        self.fetched: list[tuple[int, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failing = False

    def stream(self, first: int, end: int) -> Range:
        self.streamed.append((first, end))
        return Range(first, end)

    def fetch(self, first: int, end: int) -> bytes:
        self.fetched.append((first, end))
        assert self.gate.wait(20)
        if self.failing:
            raise UnavailableError
        return CONTENT[first:end]


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients(4, "test")
    yield made
    made.close()


def reader(
    clients: Clients,
    budget: PartBudget,
    source: Source,
    offset: int = 0,
    end: int = len(CONTENT),
) -> RangeReader:
    ahead = Ahead(clients, budget, range_bytes=1_000, ranges_max=3, look_bytes=200)
    to = min(offset + 1_000, end)
    return RangeReader(source, Range(offset, to), offset, to, end, ahead)


@given(
    st.integers(0, len(CONTENT)),
    st.integers(0, len(CONTENT)),
    st.integers(0, 5_000),
    st.lists(st.integers(1, 4_000), max_size=8),
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_what_is_read_is_the_object(
    clients: Clients, one: int, other: int, budget_bytes: int, counts: list[int]
) -> None:
    offset, end = sorted((one, other))
    budget = PartBudget(budget_bytes)
    with reader(clients, budget, Source(), offset, end) as stream:
        got = b"".join(stream.read(count) for count in counts)
        rest = bytearray(end - offset - len(got))
        assert stream.readinto(rest) == len(rest)
        assert got + rest == CONTENT[offset:end]
        assert stream.read(10) == b""
    assert budget.peak_bytes <= budget_bytes
    assert budget.reserved_bytes == 0


def test_nothing_is_fetched_for_a_look(clients: Clients) -> None:
    source = Source()
    with reader(clients, PartBudget(10_000), source) as stream:
        stream.read(150)
        assert source.fetched == []
        stream.read(150)
        stream.read(1)
        assert wait_until(lambda: len(source.fetched) == 3, 20)
        assert [first for first, _ in sorted(source.fetched)] == [1_000, 2_000, 3_000]


def test_without_memory_all_is_streamed(clients: Clients) -> None:
    source = Source()
    with reader(clients, PartBudget(999), source) as stream:
        assert stream.read() == CONTENT
    assert source.fetched == []
    assert source.streamed == [(at, at + 1_000) for at in range(1_000, 10_000, 1_000)]


def test_a_closed_reader_gives_its_memory_back_when_its_fetches_end(
    clients: Clients,
) -> None:
    source, budget = Source(), PartBudget(10_000)
    source.gate.clear()
    stream = reader(clients, budget, source)
    stream.read(300)
    stream.read(1)
    stream.close()
    stream.close()
    source.gate.set()
    assert wait_until(lambda: not budget.reserved_bytes, 20)


def test_a_failed_range_fails_the_read_at_its_place(clients: Clients) -> None:
    source, budget = Source(), PartBudget(10_000)
    source.failing = True
    stream = reader(clients, budget, source)
    assert stream.read(1_000) == CONTENT[:1_000]
    for _ in range(2):  # and again, rather than other bytes
        with pytest.raises(UnavailableError):
            stream.read(1)
    stream.close()
    assert budget.reserved_bytes == 0

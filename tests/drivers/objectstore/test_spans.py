"""Copies by spans: in order, bounded, and none left behind by a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.errors import UnavailableError
from storagebus.drivers.objectstore.clients import Clients
from storagebus.drivers.objectstore.spans import Span, copy_spans, spans
from storagebus.drivers.progress import Steps, counted


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients(8, "test")
    yield made
    made.close()


@given(st.integers(0, 10_000), st.integers(1, 3_000))
def test_spans_cover_an_object(size: int, span_bytes: int) -> None:
    at = 0
    for number, span in enumerate(spans(size, span_bytes), 1):
        assert (span.number, span.first) == (number, at)
        assert 0 < span.size <= span_bytes
        at += span.size
        assert span.size == span_bytes or at == size
    assert at == size


def test_results_are_in_order_and_steps_are_counted(clients: Clients) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def copy(span: Span) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.01 if span.number % 2 else 0.001)
        with lock:
            under_way -= 1
        return span.first

    steps = Steps()
    with counted(steps):
        made = copy_spans(clients, copy, spans(100, 10), 3, "/a")
    assert made == list(range(0, 100, 10))
    assert most <= 3
    assert steps.done == 10


def test_a_failure_waits_for_the_others_and_starts_no_more(clients: Clients) -> None:
    begun: list[int] = []
    ended: list[int] = []

    def copy(span: Span) -> None:
        begun.append(span.number)
        if span.number == 2:
            raise UnavailableError
        time.sleep(0.05)
        ended.append(span.number)

    with pytest.raises(UnavailableError):
        copy_spans(clients, copy, spans(1_000, 1), 2, "/a")
    assert len(begun) < 10
    assert sorted([*ended, 2]) == sorted(begun), "one was still under way"

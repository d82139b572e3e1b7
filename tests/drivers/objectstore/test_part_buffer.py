"""Gathering a part: little without budget, a whole part with it, else on disk."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from storagebus.drivers.objectstore import part_buffer
from storagebus.drivers.objectstore.part_budget import PartBudget
from storagebus.drivers.objectstore.part_buffer import STARTER_BYTES_MAX, PartBuffer

PART = 4 * STARTER_BYTES_MAX


def body(buffer: PartBuffer) -> bytes:
    found: Any = buffer.body()
    return bytes(found) if isinstance(found, bytearray) else found.read()


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_buffer, "MEMORY_WAIT_SECONDS_MAX", 0.01)


def test_a_small_object_needs_no_budget() -> None:
    budget = PartBudget(0)
    buffer = PartBuffer(budget, PART)
    buffer.append(b"a" * STARTER_BYTES_MAX)
    assert not buffer.on_disk and len(buffer) == STARTER_BYTES_MAX
    assert budget.peak_bytes == 0


def test_more_reserves_the_whole_part_once() -> None:
    budget = PartBudget(PART)
    buffer = PartBuffer(budget, PART)
    for _ in range(3):
        buffer.append(b"a" * STARTER_BYTES_MAX)
    assert (budget.reserved_bytes, buffer.on_disk) == (PART, False)
    buffer.close()
    buffer.close()
    assert budget.reserved_bytes == 0


@pytest.mark.parametrize("budget_bytes", [0, PART - 1, PART])
def test_content_is_the_same_in_memory_and_on_disk(budget_bytes: int) -> None:
    random = Random(budget_bytes)
    data = random.randbytes(PART)
    buffer = PartBuffer(PartBudget(budget_bytes), PART)
    at = 0
    while buffer.room:
        piece = data[at : at + random.randrange(1, STARTER_BYTES_MAX)]
        buffer.append(memoryview(piece))
        at += len(piece)
        assert (len(buffer), buffer.room) == (at, PART - at)
    assert buffer.on_disk == (budget_bytes < PART)
    assert body(buffer) == body(buffer) == buffer.content() == data
    buffer.close()
    assert len(buffer) == 0


def test_a_stream_that_went_to_disk_leaves_the_budget_to_others() -> None:
    budget = PartBudget(PART)
    first, second = PartBuffer(budget, PART), PartBuffer(budget, PART)
    for buffer in (first, second):
        buffer.append(b"x" * (STARTER_BYTES_MAX + 1))
    assert (first.on_disk, second.on_disk) == (False, True)
    first.close()
    second.append(b"y")
    assert second.on_disk and second.content().endswith(b"xy")
    assert budget.reserved_bytes == 0
    second.close()


def test_a_buffer_that_was_sent_short_can_grow_again() -> None:
    budget = PartBudget(2 * PART)
    buffer = PartBuffer(budget, PART)
    data = Random(3).randbytes(PART)
    buffer.append(data[: PART // 2])
    assert body(buffer) == data[: PART // 2]
    buffer.append(data[PART // 2 :])
    assert body(buffer) == buffer.content() == data
    buffer.close()
    assert budget.reserved_bytes == 0

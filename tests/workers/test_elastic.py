"""How many processes a pool should have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.errors import InvalidParameterError
from storagebus.workers.elastic import IDLE_S, Elastic, PoolLoad, PoolSize

SLOTS = 4


def load(workers: int, busy: int, waiting: int = 0) -> PoolLoad:
    return PoolLoad(workers, busy, workers * SLOTS, waiting)


@pytest.mark.parametrize(
    ("entries", "size"),
    [
        (None, PoolSize(2, 2)),
        ({}, PoolSize(1, 2)),
        ({"workers": 5}, PoolSize(5, 5)),
        ({"workers": 1, "slots": 3}, PoolSize(1, 1, 3)),
        ({"min": 2, "max": 8}, PoolSize(2, 8)),
        ({"min": 3}, PoolSize(3, 3)),
        ({"max": 4, "slots": 1}, PoolSize(1, 4, 1)),
    ],
)
def test_the_entries_of_a_pool(entries: dict[str, int] | None, size: PoolSize) -> None:
    assert PoolSize.of(entries) == size


@pytest.mark.parametrize(
    "entries",
    [{"wokers": 1}, {"min": 2, "max": 1}, {"workers": 1, "max": 2}, {"slots": 1025}, 7],
)
def test_wrong_entries(entries: object) -> None:
    with pytest.raises(InvalidParameterError, match="pool"):
        PoolSize.of(entries)  # type: ignore[arg-type]


def test_it_grows_by_one_a_look_while_work_waits_up_to_the_most() -> None:
    pool = Elastic(PoolSize(1, 3))
    found = [pool.look(load(n, n * SLOTS, waiting=5), n) for n in (1, 2, 3, 3)]
    assert found == [2, 3, 3, 3]


def test_it_waits_for_the_process_that_is_starting() -> None:
    pool = Elastic(PoolSize(1, 3))
    assert pool.look(load(1, SLOTS, waiting=5), 0.0) == 2
    assert pool.look(load(1, SLOTS, waiting=5), 0.5) == 2


def test_open_streams_beyond_the_slots_are_a_reason_to_grow() -> None:
    pool = Elastic(PoolSize(1, 3))
    assert pool.look(load(1, SLOTS), 0.0) == 1
    assert pool.look(load(1, SLOTS + 1), 0.5) == 2


def test_it_shrinks_by_one_a_pause_down_to_the_least() -> None:
    pool = Elastic(PoolSize(1, 3))
    pool.look(load(1, 4, waiting=1), 0.0)
    pool.look(load(2, 8, waiting=1), 1.0)
    assert pool.instances == 3
    moments = {}
    for tick in range(2, 200):
        instances = pool.look(load(pool.instances, 0), float(tick))
        moments.setdefault(instances, tick)
    assert moments == {3: 2, 2: 2 + IDLE_S, 1: 2 + 2 * IDLE_S}


def test_a_burst_begins_the_pause_anew() -> None:
    pool = Elastic(PoolSize(1, 2))
    pool.look(load(1, 4, waiting=1), 0.0)
    pool.look(load(2, 0), 1.0)
    pool.look(load(2, 5), IDLE_S)  # more than half of what one would be
    assert pool.look(load(2, 0), IDLE_S + 2) == 2
    assert pool.look(load(2, 0), 2 * IDLE_S + 2) == 1


@given(
    st.integers(1, 5),
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.floats(0.1, 40))),
)
def test_it_stays_within_its_bounds(
    least: int, more: int, steps: list[tuple[int, int, float]]
) -> None:
    pool = Elastic(PoolSize(least, least + more))
    now, before = 0.0, least
    for busy, waiting, passed in steps:
        now += passed
        after = pool.look(load(before, busy, waiting), now)
        assert least <= after <= least + more
        assert abs(after - before) <= 1
        before = after


@given(st.integers(0, 16))
def test_a_steady_load_settles(busy: int) -> None:
    pool = Elastic(PoolSize(1, 4))
    history = []
    for tick in range(1_000):
        capacity = pool.instances * SLOTS
        served = min(busy, capacity)
        waiting = busy - served
        history.append(pool.look(load(pool.instances, served, waiting), float(tick)))
    assert len(set(history[500:])) == 1

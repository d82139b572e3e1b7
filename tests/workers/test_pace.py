"""Which operations the loop runs itself."""

from __future__ import annotations

from random import Random

import pytest

from storagebus.broker.messages import Operation
from storagebus.workers.pace import (
    PAUSE_S_MAX,
    PAUSE_S_MIN,
    QUICK_US,
    SAMPLE_US_MAX,
    Pace,
)

STAT, PUT = int(Operation.STAT), int(Operation.PUT)


def test_an_operation_is_tried_and_stays_while_it_is_quick() -> None:
    pace = Pace()
    chance = Random(5)
    for moment in range(1000):
        assert pace.is_quick(STAT, moment)
        pace.took(STAT, chance.uniform(10, QUICK_US), moment)


def test_a_single_late_job_is_no_slow_operation() -> None:
    pace = Pace()
    for moment in range(1000):
        assert pace.is_quick(STAT, moment)
        pace.took(STAT, 50_000 if moment % 20 == 0 else 50, moment)


def test_slow_jobs_cost_their_operation_a_pause_and_no_other() -> None:
    pace = Pace()
    jobs = 0
    while pace.is_quick(PUT, 10.0):
        pace.took(PUT, SAMPLE_US_MAX, 10.0)
        jobs += 1
    assert jobs <= 3
    assert pace.is_quick(STAT, 10.0)
    assert not pace.is_quick(PUT, 10.0 + PAUSE_S_MIN * 0.99)
    assert pace.is_quick(PUT, 10.0 + PAUSE_S_MIN)


def test_the_pause_doubles_to_its_bound_while_every_attempt_fails() -> None:
    pace = Pace()
    now, pauses = 0.0, []
    for _ in range(20):
        pace.stalled(STAT, now)
        began = now
        while not pace.is_quick(STAT, now):
            now += PAUSE_S_MIN / 4
        pauses.append(now - began)
    due = [PAUSE_S_MIN * 2**n for n in range(4)]
    assert pauses[:4] == pytest.approx(due, abs=PAUSE_S_MIN / 2)
    assert pauses[-1] == pytest.approx(PAUSE_S_MAX, abs=PAUSE_S_MIN / 2)


def test_one_slow_job_after_a_pause_is_enough_for_the_next() -> None:
    pace = Pace()
    pace.stalled(STAT, 0.0)
    assert pace.is_quick(STAT, PAUSE_S_MIN)
    pace.took(STAT, 1_000, PAUSE_S_MIN)
    assert not pace.is_quick(STAT, 2 * PAUSE_S_MIN)


def test_a_store_that_is_quick_again_is_forgiven() -> None:
    pace = Pace()
    for _ in range(8):
        pace.stalled(STAT, 0.0)
    for _ in range(500):
        pace.took(STAT, 50, 100.0)
    pace.stalled(STAT, 200.0)
    assert pace.is_quick(STAT, 200.0 + 2 * PAUSE_S_MIN)

"""The memory budget: never more than it has, in order, and waits that end."""

from __future__ import annotations

import os
import threading
import time
from random import Random

from storagebus.drivers.objectstore.part_budget import PartBudget


def test_counts_what_is_reserved() -> None:
    budget = PartBudget(100)
    assert budget.reserve(60) and budget.reserve(40)
    assert not budget.reserve(1)
    budget.release(40)
    assert budget.reserve(30)
    assert (budget.reserved_bytes, budget.peak_bytes) == (90, 100)


def test_more_than_all_is_refused_at_once() -> None:
    started = time.monotonic()
    assert not PartBudget(100).reserve(101, wait_seconds_max=30)
    assert time.monotonic() - started < 5


def test_a_wait_ends() -> None:
    budget = PartBudget(10)
    assert budget.reserve(10)
    assert not budget.reserve(1, wait_seconds_max=0.02)
    budget.release(10)
    assert budget.reserve(10)


def test_who_waits_is_woken() -> None:
    budget = PartBudget(10)
    assert budget.reserve(10)
    got: list[bool] = []
    waiter = threading.Thread(target=lambda: got.append(budget.reserve(4, 30)))
    waiter.start()
    time.sleep(0.02)
    assert not got
    budget.release(5)
    waiter.join(10)
    assert got == [True]


def test_a_small_one_does_not_overtake_a_large_one() -> None:
    budget = PartBudget(10)
    assert budget.reserve(8)
    order: list[str] = []

    def want(name: str, count: int) -> None:
        assert budget.reserve(count, 30)
        order.append(name)

    large = threading.Thread(target=want, args=("large", 10))
    large.start()
    while not budget._waiting:
        time.sleep(0.001)
    assert not budget.reserve(1)
    budget.release(8)
    large.join(10)
    assert order == ["large"]


def test_never_above_the_bound_whatever_threads_do() -> None:
    budget = PartBudget(50)
    over: list[int] = []

    def work(seed: int) -> None:
        random = Random(seed)
        for _ in range(100):
            count = random.randrange(1, 40)
            if budget.reserve(count, random.choice((0.0, 0.01))):
                if budget.reserved_bytes > budget.bytes_max:
                    over.append(budget.reserved_bytes)
                budget.release(count)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not over
    assert budget.reserved_bytes == 0 and 0 < budget.peak_bytes <= 50


def test_buffers_are_used_again_while_any_is_in_use() -> None:
    budget = PartBudget(100)
    assert budget.reserve(40) and budget.reserve(40)
    first, second = budget.take_buffer(40), budget.take_buffer(40)
    assert first is not second and len(first) == len(second) == 40
    budget.return_buffer(first)
    budget.release(40)
    assert budget.reserve(40)
    assert budget.take_buffer(40) is first
    budget.return_buffer(first)
    budget.release(40)
    budget.return_buffer(second)
    budget.release(40)
    assert not budget._spare, "an idle driver holds no memory"


def test_spare_buffers_make_room_for_what_is_reserved() -> None:
    budget = PartBudget(100)
    for _ in range(2):
        assert budget.reserve(40)
    for _ in range(2):
        budget.return_buffer(bytearray(40))
    budget.release(40)
    assert budget.reserve(60)
    assert sum(map(len, budget._spare)) + budget.reserved_bytes <= 100 + 60


def test_a_forked_child_has_the_whole_budget_though_the_lock_was_held() -> None:
    budget = PartBudget(10)
    assert budget.reserve(8)
    with budget._changed:
        child = os.fork()
        if child == 0:
            try:
                fine = budget.reserve(10) and budget.reserved_bytes == 10
                budget.release(10)
                os._exit(0 if fine and budget.reserved_bytes == 0 else 1)
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert budget.reserved_bytes == 8
    budget.release(8)


def test_what_a_parent_reserved_is_not_given_back_by_its_child() -> None:
    budget = PartBudget(10)
    assert budget.reserve(8)
    child = os.fork()
    if child == 0:
        budget.release(8)
        os._exit(0 if budget.reserve(10) and not budget.reserve(1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

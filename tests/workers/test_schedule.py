"""The queue in front of the driver's threads, held against a simple model."""

from hypothesis import given
from hypothesis import strategies as st

from storagebus.workers.schedule import SMALL_IN_A_ROW_MAX, Schedule, Task


def task(bulk=False, expires=100.0):
    return Task(None, None, expires, bulk, 0.0)


def test_no_more_run_than_there_are_slots():
    schedule = Schedule(2)
    tasks = [task() for _ in range(5)]
    for one in tasks:
        schedule.add(one)
    assert [schedule.next(1.0) for _ in range(3)] == [*tasks[:2], None]
    schedule.ended(tasks[1])
    assert schedule.next(2.0) is tasks[2]
    assert schedule.next(2.0) is None
    assert schedule.oldest_s(5.0) == 4.0


def test_bulk_leaves_a_thread_free_except_the_only_one():
    schedule = Schedule(3)
    for _ in range(5):
        schedule.add(task(bulk=True))
    assert [schedule.next(0.0) is None for _ in range(3)] == [False, False, True]
    call = task()
    schedule.add(call)
    assert schedule.next(0.0) is call
    alone = Schedule(1)
    alone.add(task(bulk=True))
    assert alone.next(0.0) is not None


def test_bulk_has_its_turn_however_many_calls_there_are():
    schedule = Schedule(1)
    bulk = task(bulk=True)
    schedule.add(bulk)
    for _ in range(3 * SMALL_IN_A_ROW_MAX):
        schedule.add(task())
    order = []
    while (one := schedule.next(0.0)) is not None:
        order.append(one.bulk)
        schedule.ended(one)
    assert order.index(True) == SMALL_IN_A_ROW_MAX


@given(
    st.integers(1, 4),
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.booleans(), st.integers(0, 50)),
            st.tuples(st.sampled_from(["next", "end", "withdraw", "expire"])),
        ),
        max_size=80,
    ),
)
def test_every_task_starts_once_or_never(slots, steps):
    schedule = Schedule(slots)
    waiting, running, gone = [], [], []
    now = 0.0
    for step in steps:
        now += 1.0
        if step[0] == "add":
            one = task(step[1], now + step[2])
            schedule.add(one)
            waiting.append(one)
        elif step[0] == "next":
            one = schedule.next(now)
            if one is not None:
                assert one in waiting
                same = [other for other in waiting if other.bulk == one.bulk]
                assert same[0] is one, "first come, first served"
                waiting.remove(one)
                running.append(one)
            else:
                assert len(running) == slots or all(other.bulk for other in waiting)
        elif step[0] == "end" and running:
            schedule.ended(running.pop(0))
        elif step[0] == "withdraw" and waiting + running:
            one = (waiting + running)[0]
            assert schedule.withdraw(one) == (one in waiting)
            if one in waiting:
                waiting.remove(one)
                gone.append(one)
        elif step[0] == "expire":
            late = list(schedule.expired(now))
            assert set(late) == {other for other in waiting if other.expires <= now}
            waiting = [other for other in waiting if other not in late]
        assert schedule.running == set(running)
        assert len(running) <= slots
    assert not set(gone) & set(running)

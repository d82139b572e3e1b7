"""workers/shares.py: slots are lent to the broker that needs them, never twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storagebus.broker.messages import Hello, Operation, Update, parse
from storagebus.broker.wire import Type
from storagebus.workers.shares import Use, divide, equal

uses = st.builds(Use, st.integers(1, 100), st.integers(0, 100), st.integers(0, 100))


def test_equal_needs_get_equal_shares() -> None:
    assert divide(16, [Use(8, 8, 8), Use(8, 8, 8)]) == [8, 8]
    assert divide(5, [Use(5), Use(5), Use(5)]) == [2, 2, 1]
    assert divide(16, [Use(16, 3, 3)]) == [16]


def test_what_one_does_not_use_is_lent() -> None:
    assert divide(16, [Use(8, 8, 8), Use(8, 0, 0)]) == [15, 1]
    assert divide(64, [Use(32, 32, 32), Use(32, 5, 5)]) == [55, 9]


def test_what_was_lent_comes_back() -> None:
    assert divide(16, [Use(15, 15, 15), Use(1, 1, 1)]) == [8, 8]


def test_a_share_counts_what_was_used_for_a_moment() -> None:
    use = Use(8)
    for _ in range(6):
        use.add()
    for _ in range(6):
        use.drop()
    assert (use.now, use.peak) == (0, 6)
    assert divide(16, [Use(8, 8, 8), use]) == [9, 7]
    assert use.give(7)
    assert use.peak == 0
    assert not use.give(7)


@given(st.integers(1, 200), st.lists(uses, min_size=1, max_size=5))
def test_together_never_more_than_there_is(total: int, given: list[Use]) -> None:
    shares = divide(total, given)
    assert min(shares) >= 1
    if total >= len(given):
        assert sum(shares) == total
    else:
        assert shares == [1] * len(given)


@given(st.integers(1, 200), st.integers(1, 5))
def test_equal_shares_are_all_there_is(total: int, parts: int) -> None:
    shares = [equal(total, place, parts) for place in range(parts)]
    assert sum(shares) == max(total, parts)
    assert max(shares) - min(shares) <= 1


# -- in the worker's machine ----------------------------------------------------


def test_brokers_share_the_slots(make_bench):
    bench = make_bench(links=3, slots=5, streams=8)
    bench.join(0, epoch=1)
    hello = parse(Hello, bench.take(0)[0].fields)
    assert (hello.slots, hello.streams) == (5, 8)
    bench.join(1, epoch=2)
    hello = parse(Hello, bench.take(1)[0].fields)
    assert (hello.slots, hello.streams) == (2, 4)
    assert parse(Update, bench.one(Type.UPDATE, 0).fields) == Update(3, 4)
    bench.join(2, epoch=3)
    bench.take(2)
    assert sum(link.calls.told for link in bench.core.links) == 5
    assert sum(link.opens.told for link in bench.core.links) == 8
    bench.take(0)
    bench.core.disconnected(1, bench.now)
    bench.core.disconnected(2, bench.now)
    bench.look()
    last = bench.take(0)[-1]
    assert parse(Update, last.fields) == Update(5, 8)


def test_slots_are_lent_to_the_broker_that_needs_them(make_bench):
    bench = make_bench(links=2, slots=4, streams=8)
    for number in range(2):
        bench.join(number, epoch=number + 1)
    bench.take(0)
    bench.take(1)

    def told(link):
        updates = [m for m in bench.take(link) if m.type is Type.UPDATE]
        return [parse(Update, message.fields) for message in updates]

    for _ in range(2):
        bench.open(Operation.STAT, "/a", link=0)  # all that broker 0 may send
    bench.tick(0.2)
    assert (told(0), told(1)) == ([Update(3, 4)], [Update(1, 4)])
    bench.open(Operation.STAT, "/a", link=1)  # broker 1 wants its part back
    bench.tick(0.2)
    assert (told(0), told(1)) == ([Update(2, 4)], [Update(2, 4)])
    bench.run()
    assert bench.core.links[0].calls.now == bench.core.links[1].calls.now == 0

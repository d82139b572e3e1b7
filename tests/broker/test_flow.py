"""broker/flow.py: two ends of a stream, joined by a link that repeats and reorders."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storagebus.broker.budget import Budget
from storagebus.broker.flow import ACK_BYTES_MIN, Inflow, Outflow, aligned
from storagebus.drivers.errors import DataLossError, ProtocolError

MIB = 1 << 20
STEPS_MAX = 50_000


def transfer(
    chance: Random, total: int, window: int, piece_max: int, budget: Budget | None
) -> None:
    """Move `total` bytes; with a budget, a broker stands between and clamps.

    DATA travels in order, since ZeroMQ keeps it; CREDITs may be late, doubled and out
    of order. Whoever has something to do is chosen by chance.
    """
    inflow, outflow = Inflow(window), Outflow()
    flow = budget.open() if budget else None
    if flow is not None and budget is not None:
        budget.grant(flow, 0, inflow.limit)
        outflow.credit(0, flow.passed)
    else:
        outflow.credit(0, inflow.limit)
    data: list[tuple[int, int, bool]] = []
    credits: list[tuple[int, int]] = []
    for _ in range(STEPS_MAX):
        if inflow.consumed == total:
            return
        match chance.randrange(5):
            case 0 if outflow.sent < total and outflow.room:
                wanted = min(chance.randint(1, piece_max), total - outflow.sent)
                count = min(wanted, outflow.room)
                offset = outflow.send(count)
                stuck = not outflow.room and outflow.sent < total
                if flow is not None and budget is not None:
                    assert budget.forward(flow, offset, count)
                data.append((offset, count, stuck))
            case 1 if data:
                offset, count, want = data.pop(0)
                assert inflow.accept(offset, count, want)
                if chance.random() < 0.1:
                    assert not inflow.accept(offset, count, want)
            case 2 if inflow.received > inflow.consumed:
                inflow.consume(chance.randint(1, inflow.received - inflow.consumed))
            case 3 if inflow.credit_due():
                credits.append(inflow.credit())
                if chance.random() < 0.3:
                    credits.append(chance.choice(credits))
            case 4 if credits:
                received, limit = credits.pop(chance.randrange(len(credits)))
                if flow is not None and budget is not None:
                    budget.grant(flow, received, limit)
                    limit = flow.passed
                outflow.credit(received, limit)
        assert inflow.received - inflow.consumed <= window
        if budget is not None:
            assert budget.in_flight <= budget.in_flight_max
    raise AssertionError(
        f"stuck: sent {outflow.sent}, received {inflow.received}, consumed "
        f"{inflow.consumed} of {total}, room {outflow.room}"
    )


@given(
    st.integers(0, 1 << 32),
    st.integers(1, 400),
    st.integers(2, 2_000),
    st.integers(1, 3_000),
)
@settings(deadline=None, max_examples=60)
def test_all_bytes_arrive(seed: int, total: int, window: int, piece_max: int) -> None:
    transfer(Random(seed), total, window, piece_max, None)


@given(
    st.integers(0, 1 << 32),
    st.integers(1, 400),
    st.integers(2, 2_000),
    st.integers(1, 50),
    st.integers(0, 500),
)
@settings(deadline=None, max_examples=60)
def test_all_bytes_arrive_through_a_broker_that_has_little_room(
    seed: int, total: int, window: int, floor: int, pool: int
) -> None:
    transfer(Random(seed), total, window, 100, Budget(3, floor, pool))


def test_limits_never_shrink() -> None:
    outflow = Outflow(100)
    outflow.send(60)
    outflow.credit(50, 80)
    outflow.credit(20, 10)
    assert (outflow.received, outflow.limit, outflow.room) == (50, 100, 40)


def test_more_received_than_was_sent() -> None:
    outflow = Outflow(100)
    outflow.send(10)
    with pytest.raises(ProtocolError, match="CREDIT for 11 bytes; 10 were sent"):
        outflow.credit(11, 200)


def test_sending_beyond_the_limit_is_our_own_fault() -> None:
    with pytest.raises(AssertionError, match="11 bytes above the credit of 10"):
        Outflow(10).send(11)


def test_gap_duplicate_and_excess() -> None:
    inflow = Inflow(100)
    assert inflow.accept(0, 40)
    with pytest.raises(DataLossError, match="bytes 40 to 41 of the stream are missing"):
        inflow.accept(41, 1)
    assert not inflow.accept(0, 40)
    assert inflow.accept(40, 60)
    with pytest.raises(ProtocolError, match="DATA up to 101, beyond the limit of 100"):
        inflow.accept(100, 1)
    assert inflow.received == 100


def test_credit_is_due_when_asked_for_or_worth_it() -> None:
    inflow = Inflow(4 * ACK_BYTES_MIN)
    assert not inflow.credit_due()
    inflow.accept(0, 10, want=True)
    assert inflow.credit_due()
    assert inflow.credit() == (10, 4 * ACK_BYTES_MIN)  # nothing consumed: no more
    assert not inflow.credit_due()
    inflow.accept(10, 2 * ACK_BYTES_MIN)
    assert inflow.credit_due()  # enough has arrived since the last
    inflow.consume(2 * ACK_BYTES_MIN + 10)
    assert inflow.credit() == (2 * ACK_BYTES_MIN + 10, 6 * ACK_BYTES_MIN + 10)


@pytest.mark.parametrize(
    ("limit", "ahead", "told"),
    [
        (5 * MIB + 16_384, 4 * MIB + 16_384, 5 * MIB),
        (5 * MIB, 4 * MIB, 5 * MIB),
        (3 * MIB - 1, 2 * MIB, 2 * MIB),
        (3 * MIB - 1, 2 * MIB - 1, 3 * MIB - 1),
        (100, 100, 100),
    ],
)
def test_high_limits_cut_no_piece(limit: int, ahead: int, told: int) -> None:
    assert aligned(limit, ahead) == told


def test_a_large_window_grants_whole_pieces() -> None:
    flow = Inflow(4 * MIB)
    flow.accept(0, 65_536)
    flow.consume(65_536)
    assert flow.credit() == (65_536, 4 * MIB)
    flow.accept(65_536, MIB)
    flow.consume(MIB)
    assert flow.credit() == (MIB + 65_536, 5 * MIB)


def test_a_small_window_grants_every_byte() -> None:
    flow = Inflow(MIB)
    flow.accept(0, 65_536)
    flow.consume(65_536)
    assert flow.credit() == (65_536, MIB + 65_536)

"""broker/budget.py against a twin that counts everything anew."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from storagebus.broker.budget import SHARE_BYTES_MAX, Budget, Flow
from storagebus.drivers.errors import ProtocolError

STREAMS, FLOOR, POOL = 4, 10, 100


class Budgets(RuleBasedStateMachine):
    """Flows open, move bytes and close in any order; the twin knows only their sums."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(STREAMS, FLOOR, POOL)
        self.flows: list[Flow] = []

    def pick(self, data: st.DataObject) -> Flow:
        return data.draw(st.sampled_from(self.flows))

    @rule()
    def open(self) -> None:
        flow = self.budget.open()
        assert (flow is None) == (len(self.flows) == STREAMS)
        if flow is not None:
            self.flows.append(flow)

    @precondition(lambda self: self.flows)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        flow = self.pick(data)
        self.flows.remove(flow)
        self.budget.close(flow)

    @precondition(lambda self: self.flows)
    @rule(data=st.data(), limit=st.integers(0, 1000))
    def grant(self, data: st.DataObject, limit: int) -> None:
        flow = self.pick(data)
        received = data.draw(st.integers(0, flow.forwarded))
        before = flow.passed
        raised = self.budget.grant(flow, received, limit)
        assert raised == (flow.passed > before)
        assert flow.passed >= before  # limits never shrink
        # A floor is always there, as far as the receiver has granted it.
        assert flow.passed >= min(flow.limit, flow.received + FLOOR)

    @precondition(lambda self: self.flows)
    @rule(data=st.data(), count=st.integers(1, 200))
    def send(self, data: st.DataObject, count: int) -> None:
        flow = self.pick(data)
        offset = flow.forwarded
        if offset + count > flow.passed or flow.lane_from is not None:
            with pytest.raises(ProtocolError, match=r"beyond the limit|after DATA in"):
                self.budget.forward(flow, offset, count)
        else:
            assert self.budget.forward(flow, offset, count)

    @precondition(lambda self: self.flows)
    @rule(data=st.data(), count=st.integers(1, 200))
    def send_by_lane(self, data: st.DataObject, count: int) -> None:
        flow = self.pick(data)
        offset = flow.forwarded
        if offset + count > flow.passed:
            with pytest.raises(ProtocolError, match="beyond the limit"):
                self.budget.forward(flow, offset, count, by_lane=True)
        else:
            assert self.budget.forward(flow, offset, count, by_lane=True)

    @precondition(lambda self: any(flow.forwarded for flow in self.flows))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        flow = data.draw(st.sampled_from([f for f in self.flows if f.forwarded]))
        before = flow.forwarded
        assert not self.budget.forward(flow, before - 1, 1_000_000)
        assert flow.forwarded == before

    @invariant()
    def sums(self) -> None:
        assert self.budget.flows == len(self.flows)
        in_flight = [
            max(0, (flow.passed if at is None else at) - flow.received)
            for flow in self.flows
            for at in [flow.lane_from]
        ]
        assert self.budget.in_flight == sum(in_flight)
        assert self.budget.in_flight <= self.budget.in_flight_max
        assert self.budget.pooled == sum(max(0, n - FLOOR) for n in in_flight)
        assert self.budget.pooled <= POOL
        for flow in self.flows:
            assert flow.received <= flow.forwarded <= flow.passed <= flow.limit


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_stream_alone_has_all_it_can_use() -> None:
    budget = Budget(8, 16_384, 8 * SHARE_BYTES_MAX)
    flow = budget.open()
    assert flow is not None
    assert budget.grant(flow, 0, 1 << 40)
    assert flow.passed == SHARE_BYTES_MAX, "the 16 KiB above would cut a piece"


def test_what_goes_by_a_lane_is_not_held_here() -> None:
    budget = Budget(1, 10, 100)
    flow = budget.open()
    assert flow is not None
    budget.grant(flow, 0, 1000)
    assert (flow.passed, budget.in_flight, budget.pooled) == (110, 110, 100)
    budget.forward(flow, 0, 60)
    budget.forward(flow, 60, 50, by_lane=True)
    assert (budget.in_flight, budget.pooled, flow.unread) == (60, 50, 60)
    assert budget.grant(flow, 40, 2000)
    assert (flow.passed, budget.in_flight, budget.pooled) == (2000, 20, 10)
    budget.forward(flow, 110, 1800, by_lane=True)
    assert budget.grant(flow, 1910, 4000)
    assert (budget.in_flight, budget.pooled, flow.unread) == (0, 0, 0)
    budget.close(flow)
    assert (budget.in_flight, budget.pooled) == (0, 0)


def test_streams_share_the_pool() -> None:
    budget = Budget(8, 10, 100)
    flows = [budget.open() for _ in range(4)]
    for flow in flows:
        assert flow is not None
        budget.grant(flow, 0, 1000)
    assert [flow.passed for flow in flows if flow] == [35, 35, 35, 35]


def test_reported_but_never_sent() -> None:
    budget = Budget(1, 10, 100)
    flow = budget.open()
    assert flow is not None
    with pytest.raises(ProtocolError, match="CREDIT for 1 bytes; 0 were sent"):
        budget.grant(flow, 1, 10)

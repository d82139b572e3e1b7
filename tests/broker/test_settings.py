"""broker/settings.py: the bound that the settings imply."""

from __future__ import annotations

from storagebus.broker.budget import Budget
from storagebus.broker.settings import BrokerSettings


def test_the_bound_is_the_budget_s() -> None:
    given = BrokerSettings((), (), streams_max=3, floor_bytes=5, pool_bytes=100)
    budget = Budget(given.streams_max, given.floor_bytes, given.pool_bytes)
    assert given.in_flight_bytes_max == budget.in_flight_max == 115

"""Brokers, workers and executables replaced one by one under load: no call fails."""

from __future__ import annotations

import pytest

from .upgrade import Outcome, Upgrade


def check(outcome: Outcome) -> None:
    print(outcome.line())
    assert outcome.problems == []
    # Old and new served side by side, and each alone.
    assert outcome.seen == {("1.0", "1.0"), ("1.0", "1.1"), ("1.1", "1.1")}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_upgrade_under_load() -> None:
    check(Upgrade(1).run(1))


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_there_and_back_again() -> None:
    check(Upgrade(2).run(10))

"""How the tests of the suite put a driver before one requirement."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storagebus.drivers import StorageDriver
from storagebus.drivers.conformance import Result, Session, Tier, choose

Verdict = Callable[..., Result]


@pytest.fixture
def verdict() -> Verdict:
    """Check one requirement, by its name, against a driver."""

    def check(
        make_driver: Callable[[], StorageDriver], name: str, seconds_max: float = 20.0
    ) -> Result:
        (requirement,) = choose(name)
        limits = dict.fromkeys(Tier, seconds_max)
        session = Session(make_driver, seed="7", seconds_max=limits)
        try:
            return session.check(requirement)
        finally:
            session.close()

    return check

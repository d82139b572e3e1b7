"""The conformance suite over every driver and every way of reaching it.

One pytest test a requirement. To add a driver, add its parameters to DRIVERS; to add
a way of reaching drivers, add to WAYS in tests/support/ways.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ways import WAYS

from storagebus.drivers.conformance import (
    REQUIREMENTS,
    Outcome,
    Requirement,
    Session,
    Tier,
    choose,
)

LONG_SECONDS_MAX = 3600
SEED = "storagebus"

DRIVERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "inmemory": lambda folder: {},
    "filesystem": lambda folder: {"rootdirectory": str(folder)},
}
"""A driver's name, and the parameters of a store of its own."""


LEFT_OUT = {
    "inmemory": {"shared", "redirects", "nested_objects"},
    "filesystem": {"redirects", "nested_objects"},
}
"""Capabilities that a driver lacks: whatever is left out must need one of these."""

OFFERED = {
    "inmemory": {"identity", "resume"},
    "filesystem": {"identity", "resume"},
}
"""Capabilities that a driver has, and that some requirements apply only without."""


def _cases() -> Iterator[Any]:
    for way in WAYS:
        for name in DRIVERS:
            yield pytest.param((way, name), id=f"{way}-{name}")


def _requirement(requirement: Requirement) -> Any:
    marks = []
    if requirement.tier is Tier.LONG:
        marks = [pytest.mark.long, pytest.mark.timeout(LONG_SECONDS_MAX)]
    return pytest.param(requirement, marks=marks, id=requirement.name)


@pytest.fixture(scope="module", params=[*_cases()])
def reached(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Session]]:
    """A driver by its name, and a session that reaches it one way."""
    way, name = request.param
    parameters = DRIVERS[name](tmp_path_factory.mktemp(name))
    with WAYS[way](name, parameters) as make:
        session = Session(make, seed=SEED, long=True)
        yield name, session
        ending = session.close()
        assert ending is None, ending


@pytest.mark.parametrize("requirement", [*map(_requirement, REQUIREMENTS)])
def test_requirement(reached: tuple[str, Session], requirement: Requirement) -> None:
    name, session = reached
    result = session.check(requirement)
    if result.outcome is Outcome.LEFT_OUT:
        lacks = LEFT_OUT[name] & set(requirement.needs)
        has = OFFERED[name] & set(requirement.without)
        assert lacks or has, f"{result.reason}, which {name} should have"
        pytest.skip(result.reason)
    assert result.outcome is Outcome.PASSED, result.reason


def test_the_tables_name_every_driver() -> None:
    assert DRIVERS.keys() == LEFT_OUT.keys() == OFFERED.keys()
    assert choose(None) is REQUIREMENTS

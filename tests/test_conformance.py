"""The conformance suite over every driver and every way of reaching it.

One pytest test a requirement. To add a driver, add its parameters to DRIVERS; to add
a way of reaching drivers, add to WAYS what makes an instance that way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from async_driver import AsyncDriver
from running_bus import running_bus

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.conformance import (
    REQUIREMENTS,
    Outcome,
    Requirement,
    Session,
    Tier,
    choose,
)
from storagebus.drivers.factory import create_child

MakeDriver = Callable[[], StorageDriver]
MakeWay = Callable[[pytest.FixtureRequest, str, dict[str, Any]], MakeDriver]

LONG_SECONDS_MAX = 3600
SEED = "storagebus"

DRIVERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "inmemory": lambda folder: {},
    "filesystem": lambda folder: {"rootdirectory": str(folder)},
}
"""A driver's name, and the parameters of a store of its own."""


def _in_process(
    request: pytest.FixtureRequest, name: str, parameters: dict[str, Any]
) -> MakeDriver:
    return lambda: create(name, parameters)


def _bus(
    request: pytest.FixtureRequest, name: str, parameters: dict[str, Any]
) -> MakeDriver:
    endpoint = _running(request, name, parameters)
    return lambda: create("bus", {"endpoint": endpoint})


def _async(
    request: pytest.FixtureRequest, name: str, parameters: dict[str, Any]
) -> MakeDriver:
    endpoint = _running(request, name, parameters)
    return lambda: AsyncDriver(endpoint)


def _child(
    request: pytest.FixtureRequest, name: str, parameters: dict[str, Any]
) -> MakeDriver:
    return lambda: create_child(name, parameters)


def _running(
    request: pytest.FixtureRequest, name: str, parameters: dict[str, Any]
) -> str:
    """The endpoint of a bus that runs until the module's tests are over."""
    workers = 2 if "shared" not in LEFT_OUT[name] else 1
    bus = running_bus(name, parameters, workers)
    endpoint = bus.__enter__()
    request.addfinalizer(lambda: bus.__exit__(None, None, None) and None)
    return endpoint


WAYS: dict[str, MakeWay] = {
    "in-process": _in_process,
    "child": _child,
    "bus": _bus,
    "async": _async,
}
"""How a driver is reached: makes the maker of instances over one store."""

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
    session = Session(WAYS[way](request, name, parameters), seed=SEED, long=True)
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

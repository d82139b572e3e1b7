"""The conformance suite through the bus: both clients, over real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from async_driver import AsyncDriver
from real_bus import RealBus

from storagebus.drivers import conformance


@pytest.fixture(params=["inmemory", "filesystem"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealBus]:
    driver: str = request.param
    if driver == "inmemory":
        with RealBus() as made:
            yield made
    else:
        with RealBus(driver, {"rootdirectory": str(tmp_path)}, workers=2) as made:
            yield made


@pytest.mark.slow
def test_the_client_conforms(bus: RealBus) -> None:
    report = conformance.bus(bus.endpoint, "default")
    assert report.ok, report


@pytest.mark.slow
def test_the_asynchronous_client_conforms(bus: RealBus) -> None:
    report = conformance.in_process(lambda: AsyncDriver(bus.endpoint))
    assert report.ok, report

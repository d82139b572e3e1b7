"""The conformance suite against Azurite, whole, by every way of reaching a driver.

In-process with the driver's own version of the interface, which Azurite knows; through
a bus with the SDK's newest, which a server must be told to let pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from async_driver import AsyncDriver
from running_bus import running_bus
from servers.azurite import Azurite

from storagebus.drivers import StorageDriver, conformance, create
from storagebus.drivers.factory import create_child

from .conftest import keys, parameters_of, plain_client, running

ROOT = "conformance"
NEWEST = "2026-10-06"


@pytest.fixture(scope="module")
def azurite_of_any_version() -> Iterator[Azurite]:
    yield from running(Azurite(any_version=True))


def check(
    server: Azurite, make: Callable[[], StorageDriver], long: bool = False
) -> None:
    report = conformance.in_process(make, long=long)
    assert report.ok, str(report)
    with plain_client(server) as client:
        assert keys(client, ROOT) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_in_process(azurite: Azurite) -> None:
    given = parameters_of(azurite.service_url, rootdirectory=ROOT)
    check(azurite, lambda: create("azure", given))


@pytest.mark.slow
@pytest.mark.stores
@pytest.mark.timeout(300)
def test_on_a_bus(azurite_of_any_version: Azurite) -> None:
    url = azurite_of_any_version.service_url
    given = parameters_of(url, rootdirectory=ROOT, apiversion=NEWEST)
    with running_bus("azure", given, 2) as endpoint:
        check(azurite_of_any_version, lambda: create("bus", {"endpoint": endpoint}))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_as_a_managed_child(azurite: Azurite) -> None:
    given = parameters_of(azurite.service_url, rootdirectory=ROOT)
    check(azurite, lambda: create_child("azure", given))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_asynchronously(azurite: Azurite) -> None:
    given = parameters_of(azurite.service_url, rootdirectory=ROOT)
    with running_bus("azure", given, 2) as endpoint:
        check(azurite, lambda: AsyncDriver(endpoint))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_large_sizes(azurite: Azurite) -> None:
    given = parameters_of(azurite.service_url, rootdirectory=ROOT)
    check(azurite, lambda: create("azure", given), long=True)


def test_an_unknown_version_is_an_error_that_names_the_parameter(
    azurite: Azurite,
) -> None:
    given = parameters_of(azurite.service_url, apiversion=NEWEST)
    with (
        create("azure", given) as driver,
        pytest.raises(Exception, match="apiversion"),
    ):
        driver.put_content("/a", b"x")

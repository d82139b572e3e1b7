"""kill -9 of the server in mid-transfer, and of workers that talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from azure.storage.blob import ContainerClient
from azure_container import keys, make_container, parameters_of
from outages import check_outage, check_worker_losses
from servers.azurite import Azurite
from servers.pytest_servers import running
from ways import reached

from .conftest import MIB

pytestmark = [pytest.mark.stores, pytest.mark.slow, pytest.mark.timeout(300)]

DEADLINE_S = 15.0
QUICK = {
    "chunksize": MIB,
    "connecttimeout": 1,
    "readtimeout": 5,
    "retry_delay": "10ms",
    "max_retries": 2,
}


@pytest.fixture
def mortal() -> Iterator[Azurite]:
    """A server of this test's own: killed, Azurite forgets what it took last."""
    for server in running(Azurite()):
        assert isinstance(server, Azurite)
        make_container(server)
        yield server


@pytest.mark.parametrize("way", ["in-process", "bus"])
def test_a_server_killed_in_mid_transfer(mortal: Azurite, way: str) -> None:
    def revive() -> None:
        mortal.launch()
        make_container(mortal)

    given = parameters_of(mortal.service_url, rootdirectory="outage", **QUICK)
    with reached(way, "azure", given, DEADLINE_S) as driver:
        check_outage(mortal, driver, revive, durable=0)
        driver.put_content("/after", b"it works again")
        assert driver.get_content("/after") == b"it works again"


def test_workers_lost_and_replaced_in_mid_transfer(
    azurite: Azurite, containers: Callable[[Azurite], ContainerClient]
) -> None:
    client = containers(azurite)
    given = parameters_of(azurite.service_url, rootdirectory="losses", chunksize=MIB)
    check_worker_losses("azure", given)
    assert keys(client, "losses") == []

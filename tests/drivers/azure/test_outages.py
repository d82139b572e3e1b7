"""kill -9 of the server in mid-transfer, and of workers that talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import ContainerClient
from outages import check_outage, check_worker_losses
from running_bus import running_bus
from servers.azurite import Azurite
from servers.pytest_servers import running

from storagebus.drivers import StorageDriver, create

from .conftest import MIB, keys, parameters_of, plain_client

pytestmark = [pytest.mark.stores, pytest.mark.slow, pytest.mark.timeout(300)]

DEADLINE_S = 15.0
QUICK = {
    "chunksize": MIB,
    "connecttimeout": 1,
    "readtimeout": 5,
    "retry_delay": "10ms",
    "max_retries": 2,
}


@contextmanager
def reached(way: str, given: dict[str, Any]) -> Iterator[StorageDriver]:
    """The driver, in this process or through a bus with a short deadline."""
    if way == "in-process":
        with create("azure", given) as driver:
            yield driver
        return
    with (
        running_bus("azure", given) as endpoint,
        create("bus", {"endpoint": endpoint, "deadline": DEADLINE_S}) as client,
    ):
        yield client


@pytest.fixture
def mortal() -> Iterator[Azurite]:
    """A server of this test's own: killed, Azurite forgets what it took last."""
    for server in running(Azurite()):
        assert isinstance(server, Azurite)
        with plain_client(server) as client:
            client.create_container()
        yield server


@pytest.mark.parametrize("way", ["in-process", "bus"])
def test_a_server_killed_in_mid_transfer(mortal: Azurite, way: str) -> None:
    def revive() -> None:
        mortal.launch()
        with plain_client(mortal) as client:
            try:
                client.create_container()
            except ResourceExistsError:
                pass

    given = parameters_of(mortal.service_url, rootdirectory="outage", **QUICK)
    with reached(way, given) as driver:
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

"""Containers on real servers for the tests of the azure driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from azure.storage.blob import ContainerClient
from azure_container import empty, parameters_of, plain_client
from servers.azurite import Azurite
from servers.faultproxy import FaultProxy

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.azure import AzureDriver

MIB = 1 << 20

Make = Callable[..., StorageDriver]


@pytest.fixture(scope="session")
def containers() -> Iterator[Callable[[Azurite], ContainerClient]]:
    """A plain client of a server, whose container is made the first time."""
    clients: dict[str, ContainerClient] = {}

    def client_of(server: Azurite) -> ContainerClient:
        if server.endpoint not in clients:
            clients[server.endpoint] = plain_client(server)
            clients[server.endpoint].create_container()
        return clients[server.endpoint]

    yield client_of
    for client in clients.values():
        client.close()


@pytest.fixture
def client(
    azurite: Azurite, containers: Callable[[Azurite], ContainerClient]
) -> ContainerClient:
    """A plain client of Azurite."""
    return containers(azurite)


@pytest.fixture
def proxy(azurite: Azurite) -> Iterator[FaultProxy]:
    """Between Azurite and whoever goes through it; does no harm yet."""
    with closing(FaultProxy(azurite.port)) as made:
        yield made


@pytest.fixture
def make(
    azurite: Azurite, client: ContainerClient, request: pytest.FixtureRequest
) -> Iterator[Make]:
    """Makes drivers over a folder of this test alone."""
    made: list[StorageDriver] = []
    root = f"of/{request.node.name.partition('[')[0]}"

    def make_driver(**more: Any) -> StorageDriver:
        given = parameters_of(azurite.service_url, rootdirectory=root)
        made.append(create("azure", given | more))
        return made[-1]

    yield make_driver
    for driver in made:
        driver.close()
    empty(client, root)


def inner(driver: StorageDriver) -> AzureDriver:
    """The driver behind its checks."""
    found = driver._driver  # type: ignore[attr-defined]
    assert isinstance(found, AzureDriver)
    return found

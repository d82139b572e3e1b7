"""Containers on real servers for the tests of the azure driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.storage.blob import ContainerClient
from servers.azurite import ACCOUNT, KEY, Azurite

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.azure import AzureDriver

CONTAINER = "tests"
MIB = 1 << 20

Make = Callable[..., StorageDriver]


def parameters_of(service_url: str, **more: Any) -> dict[str, Any]:
    """The driver's parameters for a server's container."""
    return {
        "accountname": ACCOUNT,
        "accountkey": KEY,
        "credentials": {"type": "shared_key"},
        "container": CONTAINER,
        "serviceurl": service_url,
        **more,
    }


def plain_client(server: Azurite, name: str = CONTAINER) -> ContainerClient:
    """A client of the SDK that has nothing to do with the driver."""
    return ContainerClient(
        server.service_url,
        name,
        credential={"account_name": ACCOUNT, "account_key": KEY},
        api_version="2023-11-03",
        connection_verify=server.certificate or True,
    )


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
    for name in keys(client, root):
        client.delete_blob(name)


def inner(driver: StorageDriver) -> AzureDriver:
    """The driver behind its checks."""
    found = driver._driver  # type: ignore[attr-defined]
    assert isinstance(found, AzureDriver)
    return found


def keys(client: ContainerClient, prefix: str = "") -> list[str]:
    """All names in the container below a prefix."""
    return [blob.name for blob in client.list_blobs(name_starts_with=prefix)]

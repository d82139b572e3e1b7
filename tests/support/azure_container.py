"""A container on Azurite: what the driver is told, and a client of the SDK."""

from __future__ import annotations

from typing import Any

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import ContainerClient
from servers.azurite import ACCOUNT, KEY, Azurite
from servers.faultproxy import FaultProxy

CONTAINER = "tests"


def parameters_of(service_url: str, **more: Any) -> dict[str, Any]:
    """The driver's parameters for a server's container.

    Args:
        service_url: of the running server, or by a proxy.
        more: further parameters, or others in place of these.
    """
    return {
        "accountname": ACCOUNT,
        "accountkey": KEY,
        "credentials": {"type": "shared_key"},
        "container": CONTAINER,
        "serviceurl": service_url,
        **more,
    }


def url_through(proxy: FaultProxy) -> str:
    """The service's URL by way of a proxy."""
    return f"{proxy.endpoint}/{ACCOUNT}"


def plain_client(server: Azurite, name: str = CONTAINER) -> ContainerClient:
    """A client of the SDK that has nothing to do with the driver."""
    return ContainerClient(
        server.service_url,
        name,
        credential={"account_name": ACCOUNT, "account_key": KEY},
        api_version="2023-11-03",
        connection_verify=server.certificate or True,
    )


def make_container(server: Azurite, name: str = CONTAINER) -> None:
    """Make a container; harmless where it is already."""
    with plain_client(server, name) as client:
        try:
            client.create_container()
        except ResourceExistsError:
            pass


def keys(client: ContainerClient, prefix: str = "") -> list[str]:
    """All names in the container below a prefix."""
    return [blob.name for blob in client.list_blobs(name_starts_with=prefix)]


def empty(client: ContainerClient, prefix: str) -> None:
    """Delete all blobs below a prefix."""
    for name in keys(client, prefix):
        client.delete_blob(name)

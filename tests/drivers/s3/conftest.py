"""Buckets on real servers for the tests of the s3 driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from s3_bucket import BUCKET, empty, parameters_of, plain_client
from servers.faultproxy import FaultProxy
from servers.server import Server

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.s3 import S3Driver

MIB = 1 << 20

Make = Callable[..., StorageDriver]


@pytest.fixture(scope="session")
def buckets() -> Callable[[Server], Any]:
    """A plain client of a server, whose bucket is made the first time."""
    clients: dict[str, Any] = {}

    def client_of(server: Server) -> Any:
        if server.endpoint not in clients:
            clients[server.endpoint] = plain_client(server)
            clients[server.endpoint].create_bucket(Bucket=BUCKET)
        return clients[server.endpoint]

    return client_of


@pytest.fixture
def client(seaweedfs: Server, buckets: Callable[[Server], Any]) -> Any:
    """A plain client of SeaweedFS."""
    return buckets(seaweedfs)


@pytest.fixture
def proxy(seaweedfs: Server) -> Iterator[FaultProxy]:
    """Between SeaweedFS and whoever goes through it; does no harm yet."""
    with closing(FaultProxy(seaweedfs.port)) as made:
        yield made


@pytest.fixture
def make(seaweedfs: Server, client: Any, request: Any) -> Iterator[Make]:
    """Makes drivers over a folder of this test alone, in a bucket of SeaweedFS."""
    made: list[StorageDriver] = []
    root = f"of/{request.node.name.partition('[')[0]}"

    def make_driver(**more: Any) -> StorageDriver:
        given = parameters_of(seaweedfs, rootdirectory=root)
        made.append(create("s3", given | more))
        return made[-1]

    yield make_driver
    for driver in made:
        driver.close()
    empty(client, root)


def inner(driver: StorageDriver) -> S3Driver:
    """The driver behind its checks."""
    found = driver._driver  # type: ignore[attr-defined]
    assert isinstance(found, S3Driver)
    return found

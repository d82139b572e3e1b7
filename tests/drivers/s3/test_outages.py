"""kill -9 of real servers in mid-transfer, and of workers that talk to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from outages import check_outage, check_worker_losses
from running_bus import running_bus
from servers.server import Server

from storagebus.drivers import StorageDriver, create

from .conftest import BUCKET, MIB, keys, multiparts, parameters_of

pytestmark = [pytest.mark.stores, pytest.mark.slow, pytest.mark.timeout(300)]

PART = 5 * MIB
SERIAL = {
    "chunksize": PART,
    "multipartuploadmaxconcurrency": 1,
    "connecttimeout": 1,
    "readtimeout": 5,
    "maxattempts": 2,
}
DEADLINE_S = 15.0


@contextmanager
def reached(way: str, given: dict[str, Any]) -> Iterator[StorageDriver]:
    """The driver, in this process or through a bus with a short deadline."""
    if way == "in-process":
        with create("s3", given) as driver:
            yield driver
        return
    with (
        running_bus("s3", given) as endpoint,
        create("bus", {"endpoint": endpoint, "deadline": DEADLINE_S}) as client,
    ):
        yield client


@pytest.mark.parametrize("way", ["in-process", "bus"])
@pytest.mark.parametrize("name", ["radosgw", "seaweedfs"])
def test_a_server_killed_in_mid_transfer(
    name: str,
    way: str,
    request: pytest.FixtureRequest,
    buckets: Callable[[Server], Any],
) -> None:
    server: Server = request.getfixturevalue(name)
    client, root = buckets(server), f"outage/{way}"
    given = parameters_of(server, rootdirectory=root, **SERIAL)
    with reached(way, given) as driver:
        check_outage(server, driver, server.launch, durable=PART)
    assert keys(client, root) == [f"{root}/old", f"{root}/x"]
    assert multiparts(client, root) == []
    for key in keys(client, root):
        client.delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.parametrize("name", ["radosgw", "seaweedfs"])
def test_workers_lost_and_replaced_in_mid_transfer(
    name: str, request: pytest.FixtureRequest, buckets: Callable[[Server], Any]
) -> None:
    server: Server = request.getfixturevalue(name)
    client, root = buckets(server), "losses"
    given = parameters_of(server, rootdirectory=root, chunksize=PART)
    check_worker_losses("s3", given)
    assert keys(client, root) == []
    assert multiparts(client, root) == []

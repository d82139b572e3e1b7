"""kill -9 of real servers in mid-transfer, and of workers that talk to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from outages import check_outage, check_worker_losses
from s3_bucket import empty, keys, multiparts, parameters_of
from servers.server import Server
from ways import reached

from .conftest import MIB

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
    with reached(way, "s3", given, DEADLINE_S) as driver:
        check_outage(server, driver, server.launch, durable=PART)
    assert keys(client, root) == [f"{root}/old", f"{root}/x"]
    assert multiparts(client, root) == []
    empty(client, root)


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

"""A network that does harm between driver and server, in-process and through a bus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from outages import together
from s3_bucket import BUCKET, parameters_of
from servers.faultproxy import FaultProxy
from servers.server import Server
from ways import reached

from storagebus.client import Client
from storagebus.drivers import StorageDriver
from storagebus.drivers.errors import (
    DataLossError,
    DeadlineExceededError,
    PathNotFoundError,
    StorageError,
    UnavailableError,
)

from .conftest import MIB

RANDOM = Random(13)
CONTENT = RANDOM.randbytes(12 * MIB)
DEADLINE_S = 6.0
GONE = (UnavailableError, DeadlineExceededError)
"""The last try of a client of the bus may be cut off by the deadline."""
QUICK = {"connecttimeout": 1, "readtimeout": 1, "maxattempts": 2}


@pytest.fixture(params=["in-process", "bus"])
def driver(
    proxy: FaultProxy, seaweedfs: Server, client: Any, request: pytest.FixtureRequest
) -> Iterator[StorageDriver]:
    """A driver, or a client of a bus, whose way leads through the proxy."""
    given = parameters_of(
        seaweedfs,
        regionendpoint=proxy.endpoint,
        rootdirectory=root_of(request),
        chunksize=5 * MIB,
        readchunksize=1 * MIB,
        **QUICK,
    )
    with reached(request.param, "s3", given, DEADLINE_S) as made:
        made.put_content("/warm", b"up")
        yield made
        proxy.set()


def root_of(request: pytest.FixtureRequest) -> str:
    """The folder of a test."""
    return f"faults/{request.node.name.replace('[', '/').rstrip(']')}"


def test_a_read_survives_resets(proxy: FaultProxy, driver: StorageDriver) -> None:
    driver.put_content("/x", CONTENT)
    proxy.kill_connections()
    proxy.set(reset_after_bytes=700_000, resets_left=4)
    with driver.reader("/x") as stream:
        assert stream.read() == CONTENT
    proxy.kill_connections()
    proxy.set(reset_after_bytes=300_000, resets_left=2)
    assert driver.get_content("/x") == CONTENT


def test_a_read_that_changed_meanwhile_is_data_loss(
    proxy: FaultProxy,
    driver: StorageDriver,
    client: Any,
    request: pytest.FixtureRequest,
) -> None:
    driver.put_content("/x", CONTENT)
    proxy.kill_connections()
    stream = driver.reader("/x")
    assert stream.read(1000) == CONTENT[:1000]
    key = f"{root_of(request)}/x"
    client.put_object(Bucket=BUCKET, Key=key, Body=CONTENT[::-1])
    proxy.kill_connections()
    with pytest.raises(DataLossError):
        stream.read()
    stream.close()


def test_a_damaged_body_is_noticed(proxy: FaultProxy, driver: StorageDriver) -> None:
    """At the end of the object: whoever has the bytes must not take them for whole."""
    data = CONTENT[: 900 * 1024]
    # What a server's ETags are a process learns when it stores something there; over
    # the bus it is one worker or the other that does.
    for _ in range(20):
        driver.put_content("/x", data)
    noticed = 0
    for _ in range(20):
        # Kept alive, a connection is damaged once; each try gets a new one. What is
        # left of the try before may have taken that damage, over the bus.
        proxy.kill_connections()
        proxy.set(corrupt_at_byte=100_000)
        with driver.reader("/x") as stream:
            try:
                assert stream.read() == data, "the damage is not noticed"
            except DataLossError:
                noticed += 1
        if noticed == 3:
            break
    assert noticed == 3
    proxy.set()
    proxy.kill_connections()
    assert driver.get_content("/x") == data


def test_damage_on_its_way_to_the_server_is_refused(
    proxy: FaultProxy, driver: StorageDriver
) -> None:
    """What the server stores is what was signed, whatever became of it in between."""
    driver.put_content("/x", b"old")
    proxy.kill_connections()
    proxy.set(corrupt_sent_at_byte=500_000)
    stored = b"old"
    if isinstance(driver, Client):
        stored = CONTENT[:MIB]  # refused, and sent again
        driver.put_content("/x", stored)
    else:
        with pytest.raises(StorageError):
            driver.put_content("/x", CONTENT[:MIB])
    proxy.set()
    proxy.kill_connections()
    assert driver.get_content("/x") == stored


@pytest.mark.parametrize("status", [500, 503])
def test_a_burst_of_errors_is_ridden_out(
    proxy: FaultProxy, driver: StorageDriver, status: int
) -> None:
    proxy.set(status=status, statuses_left=1)
    driver.put_content("/x", b"1")
    proxy.set(status=status, statuses_left=1)
    assert driver.get_content("/x") == b"1"
    proxy.set(status=status, statuses_left=1)
    driver.move("/x", "/y")
    proxy.set(status=status)
    with pytest.raises(GONE) as caught:
        driver.put_content("/y", b"2")
    assert caught.value.temporary
    proxy.set()
    assert driver.get_content("/y") == b"1"


def test_an_upload_survives_resets(proxy: FaultProxy, driver: StorageDriver) -> None:
    with driver.writer("/x") as upload:
        upload.write(CONTENT[: 6 * MIB])
        proxy.kill_connections()
        upload.write(CONTENT[6 * MIB :])
        proxy.kill_connections()
        upload.commit()
    assert driver.get_content("/x") == CONTENT


def test_nothing_hangs_in_a_black_hole(
    proxy: FaultProxy, driver: StorageDriver, client: Any
) -> None:
    driver.put_content("/x", CONTENT)
    upload = driver.writer("/y")
    upload.write(CONTENT[: 6 * MIB])
    stream = driver.reader("/x")
    stream.read(10)
    proxy.set(blackhole=True)
    started = time.monotonic()

    def write_and_commit() -> None:
        upload.write(CONTENT)
        upload.commit()

    calls: dict[str, Callable[[], object]] = {
        "stat": lambda: driver.stat("/x"),
        "put": lambda: driver.put_content("/z", b"1"),
        "list": lambda: driver.list("/"),
        "read": stream.read,
        "write and commit": write_and_commit,
    }
    ended = together(calls)
    assert time.monotonic() - started < 40
    assert ended.keys() == calls.keys()
    assert {name: end for name, end in ended.items() if not isinstance(end, GONE)} == {}
    proxy.set()
    stream.close()
    upload.cancel()
    for path in ("/y", "/z"):
        with pytest.raises(PathNotFoundError):
            driver.stat(path)


def test_the_first_error_is_not_hidden_by_the_clean_up(
    proxy: FaultProxy, driver: StorageDriver
) -> None:
    with pytest.raises(GONE) as caught, driver.writer("/x") as upload:
        upload.write(CONTENT[: 6 * MIB])
        proxy.set(status=500)
        upload.write(CONTENT)
        upload.commit()
    assert "500" in str(caught.value) and caught.value.durable is not None


def test_latency_is_hidden_by_reading_ahead(
    proxy: FaultProxy, driver: StorageDriver
) -> None:
    driver.put_content("/x", CONTENT)
    proxy.set(latency_s=0.001)
    with driver.reader("/x") as stream:
        assert stream.read() == CONTENT


def test_a_slow_network_is_no_dead_one(
    proxy: FaultProxy, driver: StorageDriver
) -> None:
    """A body that takes longer than `readtimeout`, but never stands still, is whole."""
    data = CONTENT[: 3 * MIB]
    driver.put_content("/x", data)
    proxy.kill_connections()
    proxy.set(rate_bytes_s=MIB)
    started = time.monotonic()
    assert driver.get_content("/x") == data
    assert time.monotonic() - started > QUICK["readtimeout"]

"""Faults between driver and server: typed or retried, never partial, never hanging."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest
from azure.storage.blob import ContainerClient
from azure_container import empty, keys, parameters_of, url_through
from outages import together
from servers.faultproxy import FaultProxy
from ways import reached

from storagebus.drivers import StorageDriver, errors

from .conftest import MIB, Make

ROOT = "faults"
DEADLINE_S = 6.0
GONE = (errors.UnavailableError, errors.DeadlineExceededError)
CONTENT = random.Random("azure faults").randbytes(3 * MIB + 5)


@pytest.fixture(params=["in-process", "bus"])
def driver(
    proxy: FaultProxy, client: ContainerClient, request: pytest.FixtureRequest
) -> Iterator[StorageDriver]:
    """A driver, or a client of a bus, whose way leads through the proxy."""
    given = parameters_of(
        url_through(proxy),
        rootdirectory=ROOT,
        chunksize=MIB,
        readchunksize=MIB,
        readtimeout=1,
        connecttimeout=1,
        retry_delay="10ms",
        max_retries=2,
    )
    with reached(request.param, "azure", given, DEADLINE_S) as made:
        made.put_content("/warm", b"up")
        yield made
        proxy.set()
    empty(client, ROOT)


def upload(driver: StorageDriver, path: str) -> None:
    with driver.writer(path) as writer:
        writer.write(CONTENT)
        writer.commit()


def test_a_body_that_breaks_off_is_fetched_again(
    driver: StorageDriver, proxy: FaultProxy
) -> None:
    upload(driver, "/a")
    proxy.set(reset_after_bytes=300_000, resets_left=2)
    assert driver.get_content("/a") == CONTENT


def test_a_burst_of_503_is_retried(driver: StorageDriver, proxy: FaultProxy) -> None:
    proxy.set(status=503, statuses_left=2)
    driver.put_content("/a", b"x")
    proxy.set(status=503, statuses_left=2)
    assert driver.get_content("/a") == b"x"


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_stays_broken_is_typed(
    driver: StorageDriver, proxy: FaultProxy, status: int
) -> None:
    proxy.set(status=status)
    with pytest.raises(GONE, match=f"status {status}") as caught:
        driver.get_content("/a")
    assert caught.value.temporary
    proxy.set()


def test_a_changed_byte_is_noticed_and_fetched_again(
    make: Make, proxy: FaultProxy
) -> None:
    url = url_through(proxy)
    make().put_content("/a", CONTENT[:MIB])
    for checksum in ("auto", "never"):
        driver = make(serviceurl=url, checksum=checksum, retry_delay="10ms")
        proxy.set(corrupt_at_byte=500_000)
        assert (driver.get_content("/a") == CONTENT[:MIB]) is (checksum == "auto")


def test_a_black_hole_ends_within_the_bound(
    driver: StorageDriver, proxy: FaultProxy
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: driver.get_content("/a"),
        "put": lambda: driver.put_content("/a", b"x"),
        "list": lambda: driver.list("/"),
        "move": lambda: driver.move("/a", "/b"),
        "writer": lambda: driver.writer("/c"),
    }
    proxy.set(blackhole=True)
    started = time.monotonic()
    ended = together(calls)
    assert time.monotonic() - started < 10 + DEADLINE_S
    assert ended.keys() == calls.keys()
    assert {name: end for name, end in ended.items() if not isinstance(end, GONE)} == {}
    proxy.set()


def test_an_upload_that_fails_shows_nothing_and_goes_on_by_id(
    driver: StorageDriver, proxy: FaultProxy, client: ContainerClient
) -> None:
    writer = driver.writer("/a")
    writer.write(CONTENT[: 2 * MIB])
    proxy.set(refuse=True)
    proxy.kill_connections()
    with pytest.raises(GONE) as caught:
        writer.write(CONTENT[2 * MIB :])
        writer.commit()
    durable = caught.value.durable
    proxy.set()
    writer.close()
    with pytest.raises(errors.PathNotFoundError):
        driver.stat("/a")
    assert durable is not None
    with driver.writer("/a", upload_id=writer.upload_id) as again:
        assert again.size >= durable
        again.write(CONTENT[again.size :])
        again.commit()
    assert driver.get_content("/a") == CONTENT
    assert [name for name in keys(client, ROOT) if "~uploads" in name] == []


def test_a_slow_network_is_no_dead_one(
    driver: StorageDriver, proxy: FaultProxy
) -> None:
    """A body that takes longer than `readtimeout`, but never stands still, is whole."""
    upload(driver, "/a")
    proxy.kill_connections()
    proxy.set(rate_bytes_s=MIB)
    assert driver.get_content("/a") == CONTENT

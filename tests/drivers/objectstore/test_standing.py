"""What nobody may rely on any more takes no effect: each request asks first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Any

import azure_container
import pytest
import s3_bucket
from servers.faultproxy import FaultProxy
from servers.server import Server

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.azure import driver as azure_driver
from storagebus.drivers.errors import (
    CancelledError,
    Executed,
    StorageError,
    UnavailableError,
)
from storagebus.drivers.s3 import driver as s3_driver
from storagebus.drivers.standing import Lease, Standing, standing_on

pytestmark = pytest.mark.stores

MIB = 1 << 20
CONTENT = random.Random("standing").randbytes(6 * MIB + 5)
PLACE = "standing"
"""A bucket, or a container, of these tests alone."""
NUMBERS = count(1)
"""Of the folders: each test has one, so none has to be emptied."""


@dataclass(frozen=True)
class Cloud:
    """One of the cloud drivers, and a server for it.

    Attributes:
        name: of the driver.
        server: the fixture's name.
        module: the driver's, which knows the function that copies an object.
        copy: the name of that function.
        make_place: makes the bucket or the container.
        reached: the driver's parameters by way of a proxy.
        quick: parameters that make few tries, and copies in parts.
    """

    name: str
    server: str
    module: Any
    copy: str
    make_place: Callable[[Any], object]
    reached: Callable[[Server, FaultProxy], dict[str, Any]]
    quick: dict[str, Any]


CLOUDS = {
    "s3": Cloud(
        "s3",
        "seaweedfs",
        s3_driver,
        "copy_object",
        lambda server: s3_bucket.plain_client(server).create_bucket(Bucket=PLACE),
        lambda server, proxy: s3_bucket.parameters_of(
            server, regionendpoint=proxy.endpoint, bucket=PLACE
        ),
        {
            "maxattempts": 3,
            "multipartcopythresholdsize": 5 * MIB,
            "multipartcopychunksize": 5 * MIB,
        },
    ),
    "azure": Cloud(
        "azure",
        "azurite",
        azure_driver,
        "copy_blob",
        lambda server: azure_container.make_container(server, PLACE),
        lambda server, proxy: azure_container.parameters_of(
            azure_container.url_through(proxy), container=PLACE
        ),
        {
            "max_retries": 2,
            "retry_delay": "10ms",
            "copythresholdsize": MIB,
            "copychunksize": MIB,
        },
    ),
}


@pytest.fixture(scope="module", params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Each of them, with its bucket or container."""
    found = CLOUDS[request.param]
    found.make_place(request.getfixturevalue(found.server))
    return found


@pytest.fixture(scope="module")
def proxy(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    with closing(FaultProxy(request.getfixturevalue(cloud.server).port)) as made:
        yield made


@pytest.fixture
def driver(
    cloud: Cloud, proxy: FaultProxy, request: pytest.FixtureRequest
) -> Iterator[StorageDriver]:
    """The driver by way of the proxy, with a small object and one copied in parts."""
    given = cloud.reached(request.getfixturevalue(cloud.server), proxy)
    root = f"test-{next(NUMBERS)}"
    with create(cloud.name, {**given, **cloud.quick, "rootdirectory": root}) as made:
        made.put_content("/a", b"old")
        with made.writer("/large") as upload:
            upload.write(CONTENT)
            upload.commit()
        yield made
        proxy.set()


CHANGES: dict[str, Callable[[StorageDriver], None]] = {
    "put": lambda store: store.put_content("/a", b"new"),
    "put anew": lambda store: store.put_content("/b/c", b"new"),
    "move": lambda store: store.move("/a", "/b"),
    "move in parts": lambda store: store.move("/large", "/b"),
    "delete": lambda store: store.delete("/a"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_lost_it_changes_nothing(driver: StorageDriver, change: str) -> None:
    lost = Standing(Lease(time.monotonic() - 60))
    with standing_on(lost), pytest.raises(UnavailableError) as caught:
        CHANGES[change](driver)
    assert caught.value.executed is Executed.NO
    assert driver.list("/") == ["/a", "/large"]
    assert driver.get_content("/a") == b"old"


def test_deletes_of_many_change_nothing_either(driver: StorageDriver) -> None:
    for number in range(3):
        driver.put_content(f"/d/{number}", b"x")
    lost = Standing(Lease(time.monotonic() - 60))
    with standing_on(lost), pytest.raises(UnavailableError):
        driver.delete("/d")
    assert len(driver.list("/d")) == 3


def test_what_is_cut_off_in_a_copy_does_not_show_it(
    driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood when the move began; the question comes again at the last request."""
    standing = Standing(Lease(inf))
    monkeypatch.setattr(
        "storagebus.drivers.objectstore.spans.step",
        lambda: standing.revoke(CancelledError("given up")),
    )
    with standing_on(standing), pytest.raises(CancelledError):
        driver.move("/large", "/b")
    assert driver.list("/") == ["/a", "/large"]


def test_a_move_cut_off_behind_its_copy_leaves_the_source(
    driver: StorageDriver, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = Standing(Lease(inf))
    copy = getattr(cloud.module, cloud.copy)

    def copy_then_fall(*args: object) -> None:
        copy(*args)
        standing.revoke(CancelledError("given up"))

    monkeypatch.setattr(cloud.module, cloud.copy, copy_then_fall)
    with standing_on(standing), pytest.raises(CancelledError) as caught:
        driver.move("/a", "/b")
    assert caught.value.executed is Executed.MAYBE
    assert driver.list("/") == ["/a", "/b", "/large"]


def test_the_next_try_of_a_request_asks_again(
    driver: StorageDriver, proxy: FaultProxy
) -> None:
    """The first try met a 503, and while it was waited the worker was cut off."""
    standing = _Fading(Lease(inf))
    proxy.kill_connections()
    proxy.set(status=503, statuses_left=1)
    with standing_on(standing), pytest.raises(CancelledError) as caught:
        driver.put_content("/a", b"new")
    assert (standing.asked, caught.value.executed) == (2, Executed.MAYBE)
    proxy.set()
    assert driver.get_content("/a") == b"old"


class _Fading(Standing):
    """Good for one question."""

    __slots__ = ("asked",)

    def __init__(self, lease: Lease) -> None:
        super().__init__(lease)
        self.asked = 0

    def objection(self, now: float) -> StorageError | None:
        self.asked += 1
        if self.asked > 1:
            return CancelledError("given up", executed=Executed.NO)
        return None


def test_no_try_follows_when_the_calls_time_is_over(
    driver: StorageDriver, proxy: FaultProxy
) -> None:
    """And the error says what the last one met, not that there was no time."""
    standing = _OverSoon(Lease(inf))
    proxy.kill_connections()
    before = proxy.connections
    proxy.set(status=503)
    with standing_on(standing), pytest.raises(UnavailableError, match="503"):
        driver.put_content("/a", b"new")
    assert proxy.connections == before + 1
    proxy.set()
    assert driver.get_content("/a") == b"old"


class _OverSoon(Standing):
    """Its time ends as soon as it was asked."""

    __slots__ = ()

    def objection(self, now: float) -> StorageError | None:
        error = super().objection(now)
        self.expires = now
        return error

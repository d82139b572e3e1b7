"""What nobody may rely on any more takes no effect: each request asks first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from math import inf

import pytest
from azure.storage.blob import ContainerClient
from servers.azurite import ACCOUNT, Azurite
from servers.faultproxy import FaultProxy

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.errors import (
    CancelledError,
    Executed,
    StorageError,
    UnavailableError,
)
from storagebus.drivers.standing import Lease, Standing, standing_on

from .conftest import MIB, keys, parameters_of

ROOT = "standing"
QUICK = {
    "max_retries": 2,
    "retry_delay": "10ms",
    "copythresholdsize": MIB,
    "copychunksize": MIB,
}
CONTENT = random.Random("azure standing").randbytes(6 * MIB + 5)


@pytest.fixture
def proxy(azurite: Azurite) -> Iterator[FaultProxy]:
    made = FaultProxy(azurite.port)
    yield made
    made.close()


@pytest.fixture
def driver(
    azurite: Azurite, client: ContainerClient, proxy: FaultProxy
) -> Iterator[StorageDriver]:
    given = parameters_of(
        f"http://127.0.0.1:{proxy.port}/{ACCOUNT}", rootdirectory=ROOT, **QUICK
    )
    with create("azure", given) as made:
        made.put_content("/a", b"old")
        with made.writer("/large") as upload:
            upload.write(CONTENT)
            upload.commit()
        yield made
        proxy.set()
    for key in keys(client, ROOT):
        client.delete_blob(key)


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
    driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = Standing(Lease(inf))
    monkeypatch.setattr(
        "storagebus.drivers.azure.driver.copy_blob",
        _then(standing),
    )
    with standing_on(standing), pytest.raises(CancelledError) as caught:
        driver.move("/a", "/b")
    assert caught.value.executed is Executed.MAYBE
    assert driver.list("/") == ["/a", "/b", "/large"]


def _then(standing: Standing) -> Callable[..., None]:
    from storagebus.drivers.azure.copying import copy_blob

    def copy(*args: object) -> None:
        copy_blob(*args)  # type: ignore[arg-type]
        standing.revoke(CancelledError("given up"))

    return copy


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

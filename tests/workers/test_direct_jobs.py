"""Downloads that fit into one message."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgpack
import pytest

from storagebus.broker.messages import INLINE_BYTES_MAX, Open, Operation
from storagebus.drivers import StorageDriver, create
from storagebus.drivers.contract import Reader
from storagebus.drivers.errors import Executed, PathNotFoundError, TooLargeError
from storagebus.workers.direct_jobs import ReadWhole

DATA = random.Random(3).randbytes(INLINE_BYTES_MAX + 1)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> StorageDriver:
    return create("inmemory", {})


@pytest.fixture
def readers(driver: StorageDriver, monkeypatch: pytest.MonkeyPatch) -> list[Reader]:
    """The readers that were opened."""
    opened: list[Reader] = []
    plain: Callable[..., Reader] = driver.reader

    def reader(*arguments: object, **more: object) -> Reader:
        opened.append(plain(*arguments, **more))
        return opened[-1]

    monkeypatch.setattr(driver, "reader", reader)
    return opened


@pytest.mark.parametrize("size", [0, 1, 4_096, INLINE_BYTES_MAX])
def test_an_object_that_fits(
    driver: StorageDriver, readers: list[Reader], size: int
) -> None:
    driver.put_content("/a", DATA[:size])
    whole = ReadWhole(Operation.READ, Open("s", "/a")).run(driver)
    assert whole.payload == DATA[:size]
    assert whole.identity == driver.stat("/a").identity
    assert [reader.closed for reader in readers] == [True]


def test_a_part_of_an_object(driver: StorageDriver) -> None:
    driver.put_content("/a", DATA)
    job = ReadWhole(Operation.READ, Open("s", "/a", start=5, length=10))
    assert job.run(driver).payload == DATA[5:15]


def test_an_object_that_does_not_fit(
    driver: StorageDriver, readers: list[Reader]
) -> None:
    driver.put_content("/a", DATA)
    with pytest.raises(TooLargeError) as caught:
        ReadWhole(Operation.READ, Open("s", "/a")).run(driver)
    assert caught.value.executed is Executed.NO
    assert [reader.closed for reader in readers] == [True]


def test_an_object_that_is_not_there(driver: StorageDriver) -> None:
    with pytest.raises(PathNotFoundError):
        ReadWhole(Operation.READ, Open("s", "/a")).run(driver)


def test_a_directory(driver: StorageDriver) -> None:
    assert ReadWhole(Operation.LIST, Open("s", "/")).run(driver).payload == b""
    names = [f"/d/{number:03}" for number in range(400)]
    for name in names:
        driver.put_content(name, b"")
    whole = ReadWhole(Operation.LIST, Open("s", "/d")).run(driver)
    assert msgpack.unpackb(whole.payload) == names


def test_a_directory_of_more_than_a_page(driver: StorageDriver) -> None:
    for number in range(300):
        driver.put_content(f"/d/{number:0100}", b"")
    with pytest.raises(TooLargeError):
        ReadWhole(Operation.LIST, Open("s", "/d")).run(driver)

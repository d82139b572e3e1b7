"""Downloads that fit into one message."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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


def test_a_file_is_handed_over_to_who_takes_files(tmp_path: Path) -> None:
    files = create("filesystem", {"rootdirectory": str(tmp_path)})
    data = DATA + DATA[:4]
    files.put_content("/a", data)
    request = Open("s", "/a", start=4, lane_kinds=("file",))
    whole = ReadWhole(Operation.READ, request).run(files)
    assert whole.payload == b"" and whole.offer is not None
    assert (whole.offer.start, whole.offer.size) == (4, len(data) - 4)
    file = whole.offer.file
    assert file is not None
    assert os.pread(file.fileno(), len(data), 4) == data[4:]
    file.close()
    with pytest.raises(TooLargeError):
        ReadWhole(Operation.READ, replace(request, lane_kinds=())).run(files)
    small = replace(request, start=5)
    assert ReadWhole(Operation.READ, small).run(files).payload == data[5:]


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

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from storagebus.conf.workload import PIECE_BYTES, SMALL_OBJECTS_MAX, Tally, Workload
from storagebus.drivers import StorageDriver, create
from storagebus.drivers.errors import DataLossError

SIZE = 3 * PIECE_BYTES + 5


@pytest.fixture
def store() -> Iterator[StorageDriver]:
    with create("inmemory") as made:
        yield made


@pytest.fixture
def workload(store: StorageDriver) -> Workload:
    return Workload(store, "/here", SIZE, 100)


def never() -> bool:
    return False


def always() -> bool:
    return True


def test_a_large_object_comes_back(store: StorageDriver, workload: Workload) -> None:
    wrote, read = Tally(), Tally()
    workload.write(0, wrote, never)
    workload.read(0, read, never)
    assert store.stat("/here/large/0").size == SIZE
    assert (wrote.operations, wrote.size, wrote.verified) == (4, SIZE, 0)
    assert (read.operations, read.size, read.verified) == (4, SIZE, SIZE)
    assert wrote.latencies.count == 5, "the commit has its time too"


def test_objects_and_their_pieces_differ(
    store: StorageDriver, workload: Workload
) -> None:
    workload.write(0, Tally(), never)
    workload.write(1, Tally(), never)
    workload.rewrite(0, Tally(), never)
    found = [store.get_content(f"/here/large/{number}") for number in (0, 1)]
    pieces = {
        hashlib.sha256(content[at : at + PIECE_BYTES]).digest()
        for content in found
        for at in range(0, 3 * PIECE_BYTES, PIECE_BYTES)
    }
    assert len(pieces) > 3
    assert found[0] != found[1]
    assert store.stat("/here/mixed/0").size == SIZE


def test_out_of_time_the_first_object_is_short_and_readable(
    store: StorageDriver, workload: Workload
) -> None:
    workload.write(0, Tally(), always)
    assert store.stat("/here/large/0").size == PIECE_BYTES
    read = Tally()
    workload.read(0, read, never)
    assert read.verified == PIECE_BYTES


def test_out_of_time_a_further_one_is_dropped(
    store: StorageDriver, workload: Workload
) -> None:
    workload.write(0, Tally(), never)
    workload.write(0, Tally(), always)
    assert store.stat("/here/large/0").size == SIZE


@pytest.mark.parametrize("at", [0, PIECE_BYTES - 1, 2 * PIECE_BYTES, SIZE - 1])
def test_a_changed_byte_is_found(
    store: StorageDriver, workload: Workload, at: int
) -> None:
    workload.write(0, Tally(), never)
    content = bytearray(store.get_content("/here/large/0"))
    content[at] ^= 1
    store.put_content("/here/large/0", content)
    with pytest.raises(DataLossError) as caught:
        workload.read(0, Tally(), never)
    assert caught.value.offset == at // PIECE_BYTES * PIECE_BYTES


@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: c + b"x", lambda c: b""]
)
def test_another_length_is_found(
    store: StorageDriver, workload: Workload, change: Any
) -> None:
    workload.write(0, Tally(), never)
    content = store.get_content("/here/large/0")
    store.put_content("/here/large/0", change(content))
    with pytest.raises(DataLossError):
        workload.read(0, Tally(), never)


def test_small_objects_are_overwritten_in_turn(
    store: StorageDriver, workload: Workload
) -> None:
    put, got, asked = Tally(), Tally(), Tally()
    for _ in range(SMALL_OBJECTS_MAX + 3):
        workload.put(2, put, never)
    assert len(list(store.list("/here/small/2"))) == SMALL_OBJECTS_MAX
    for _ in range(SMALL_OBJECTS_MAX + 3):
        workload.get(2, got, never)
        workload.stat(2, asked, never)
    assert got.verified == got.size == put.size == 100 * (SMALL_OBJECTS_MAX + 3)
    assert asked.operations == got.operations
    assert asked.size == 0


def test_a_thread_without_small_objects_makes_one(workload: Workload) -> None:
    got = Tally()
    workload.get(7, got, never)
    assert got.operations == 1


def test_another_small_object_is_found(
    store: StorageDriver, workload: Workload
) -> None:
    workload.put(0, Tally(), never)
    workload.put(1, Tally(), never)
    store.put_content("/here/small/0/0", store.get_content("/here/small/1/0"))
    with pytest.raises(DataLossError, match="other bytes"):
        workload.get(0, Tally(), never)
    store.put_content("/here/small/0/0", b"short")
    with pytest.raises(DataLossError, match="5 bytes instead of 100"):
        workload.stat(0, Tally(), never)

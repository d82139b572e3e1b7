"""The in-memory driver: no parameters, shared bytes, and uploads that end."""

from __future__ import annotations

import random
import threading
import tracemalloc

import pytest

from storagebus.drivers import StorageDriver, UploadState, create, memoryuploads
from storagebus.drivers.errors import (
    InvalidParameterError,
    InvalidStateError,
    UploadNotFoundError,
    UploadSupersededError,
)

MIB = 1 << 20
DATA = random.Random(19).randbytes(100_000)


@pytest.fixture
def memory() -> StorageDriver:
    return create("inmemory")


def test_it_takes_no_parameters() -> None:
    with pytest.raises(InvalidParameterError, match=r"'rootdirectory'.*known: none"):
        create("inmemory", {"rootdirectory": "/x"})


def test_instances_share_nothing(memory: StorageDriver) -> None:
    memory.put_content("/a", DATA)
    other = create("inmemory")
    assert other.list("/") == []
    other.put_content("/a", DATA)
    assert other.stat("/a").identity != memory.stat("/a").identity
    assert not memory.capabilities.shared


def test_appending_to_a_large_object_copies_none_of_it(memory: StorageDriver) -> None:
    memory.put_content("/a", bytes(64 * MIB))
    tracemalloc.start()
    try:
        for _ in range(5):
            with memory.writer("/a", append=True) as upload:
                upload.write(b"more")
                upload.commit()
        with memory.reader("/a") as stream:
            stream.read(1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert memory.stat("/a").size == 64 * MIB + 20
    assert peak < 8 * MIB


def test_a_move_keeps_content_time_and_identity(driver: StorageDriver) -> None:
    driver.put_content("/a", DATA)
    before = driver.stat("/a")
    driver.move("/a", "/d/b")
    after = driver.stat("/d/b")
    assert (after.identity, after.mod_time) == (before.identity, before.mod_time)


def test_old_uploads_are_dropped_a_few_at_a_time(
    memory: StorageDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(memoryuploads.time, "monotonic", lambda: now[0])
    ids = [memory.writer("/old").upload_id for _ in range(20)]
    memory.writer("/kept").close()
    used = memory.writer("/used")
    now[0] += memoryuploads.UPLOAD_AGE_SECONDS_MAX / 2
    used.write(DATA)
    now[0] += memoryuploads.UPLOAD_AGE_SECONDS_MAX / 2 + 1

    def left() -> int:
        states = [memory.upload_status("/old", one).state for one in ids]
        return states.count(UploadState.OPEN)

    memory.writer("/new").cancel()
    assert left() == 20 - memoryuploads.REAPED_AT_ONCE_MAX
    for _ in range(3):
        memory.writer("/new").cancel()
    assert left() == 0
    assert memory.writer("/kept", append=True).generation == 1
    used.commit()
    with pytest.raises(UploadNotFoundError):
        memory.writer("/old", upload_id=ids[0])


def test_commits_are_remembered_up_to_a_number(
    memory: StorageDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memoryuploads, "COMMITS_REMEMBERED_MAX", 3)
    ids = []
    for _ in range(5):
        upload = memory.writer("/a")
        upload.commit()
        ids.append(upload.upload_id)
    states = [memory.upload_status("/a", one).state for one in ids]
    assert states == [UploadState.UNKNOWN] * 2 + [UploadState.COMMITTED] * 3


def test_a_closed_driver_lets_its_bytes_go(memory: StorageDriver) -> None:
    memory.put_content("/a", DATA)
    stream = memory.reader("/a")
    walk = memory.walk("/")
    memory.close()
    memory.close()
    with pytest.raises(InvalidStateError):
        memory.get_content("/a")
    with pytest.raises(InvalidStateError):
        next(walk)
    assert stream.read() == DATA


def test_many_threads_on_one_upload_path(memory: StorageDriver) -> None:
    """Each claimant is fenced by the next; what is committed is one claimant's."""
    memory.writer("/a").close()
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def work(name: str) -> None:
        start.wait(10)
        upload = memory.writer("/a", append=True)
        try:
            for _ in range(200):
                upload.write(name.encode())
            upload.commit()
            outcomes.append(name)
        except UploadSupersededError:
            outcomes.append("")

    threads = [threading.Thread(target=work, args=(f"{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == 8
    committed = memory.get_content("/a")
    # What fenced claimants wrote before may come first; the last to commit ends it.
    committers = [name.encode() for name in outcomes if name]
    assert any(committed.endswith(name * 200) for name in committers)

"""What a client does when workers and brokers are lost, over real processes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from real_bus import RealBus, leaves_the_lost_alone

from storagebus.client import Client
from storagebus.client.replay import REPLAY_BYTES_MIN
from storagebus.drivers import UploadState
from storagebus.drivers.errors import (
    DataLossError,
    DeadlineExceededError,
    StorageError,
    UnavailableError,
)

pytestmark = pytest.mark.slow

MIB = 1 << 20


SIZE = 24 * MIB


@pytest.fixture(autouse=True)
def by_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was handed over would outlive all of this; see test_lane_bus."""
    monkeypatch.setenv("STORAGEBUS_LANE", "off")


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that show where they belong."""
    return random.Random(seed).randbytes(size)


def kill_worker(bus: RealBus) -> None:
    bus.kill_worker(0)


def kill_both_and_start_another(bus: RealBus) -> None:
    bus.kill_worker(0)
    bus.kill_worker(0)
    bus.start_worker()


def restart_broker(bus: RealBus) -> None:
    bus.restart_broker(0)


LOSSES = [kill_worker, kill_both_and_start_another, restart_broker]


@pytest.fixture(params=LOSSES, ids=lambda loss: str(loss.__name__))
def loss(request: pytest.FixtureRequest) -> Callable[[RealBus], None]:
    found: Callable[[RealBus], None] = request.param
    return found


def test_a_read_goes_on_elsewhere(
    disk_bus: RealBus, loss: Callable[[RealBus], None]
) -> None:
    data = pattern(SIZE)
    with Client(disk_bus.endpoint, deadline=20.0) as client:
        client.put_content("/read/x", data)
        with client.reader("/read/x", offset=5) as stream:
            found = stream.read(3 * MIB + 1)
            loss(disk_bus)
            found += stream.read()
    assert found == data[5:]


def test_an_upload_goes_on_elsewhere(
    disk_bus: RealBus, loss: Callable[[RealBus], None]
) -> None:
    data = pattern(SIZE)
    with Client(disk_bus.endpoint, deadline=20.0) as client:
        with client.writer("/write/x") as upload:
            for start in range(0, SIZE, 500_000):
                if start == 10_000_000:
                    loss(disk_bus)
                upload.write(data[start : start + 500_000])
                assert upload.size == min(start + 500_000, SIZE)
            upload.commit()
        assert client.get_content("/write/x") == data


def test_a_commit_after_a_loss(
    disk_bus: RealBus, loss: Callable[[RealBus], None]
) -> None:
    data = pattern(3 * MIB)
    with Client(disk_bus.endpoint, deadline=20.0) as client:
        with client.writer("/commit/x") as upload:
            upload.write(data)
            loss(disk_bus)
            upload.commit()
        assert client.get_content("/commit/x") == data
        status = client.upload_status("/commit/x", upload.upload_id)
        assert status.state is not UploadState.OPEN


def test_a_walk_goes_on_elsewhere(
    disk_bus: RealBus, loss: Callable[[RealBus], None], tmp_path: Path
) -> None:
    for number in range(3_000):
        folder = tmp_path / f"walk/d{number // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number:05}").write_bytes(b"")
    with Client(disk_bus.endpoint, deadline=20.0) as client:
        walk = client.walk("/walk")
        found = [next(walk).path for _ in range(150)]
        loss(disk_bus)
        found += [info.path for info in walk]
    assert len(found) == 3_030
    assert found == sorted(set(found))


def test_calls_meet_no_error_while_workers_come_and_go(disk_bus: RealBus) -> None:
    stop = threading.Event()
    failures: list[StorageError] = []
    done = [0] * 4

    def work(number: int) -> None:
        with Client(disk_bus.endpoint, deadline=20.0) as client:
            while not stop.is_set():
                try:
                    path = f"/calm/{number}"
                    client.put_content(path, pattern(2_000, number))
                    assert client.get_content(path) == pattern(2_000, number)
                    assert client.stat(path).size == 2_000
                    done[number] += 1
                except StorageError as error:
                    failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        disk_bus.kill_worker(0)
        disk_bus.add_worker()
    stop.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert min(done) > 0


def test_the_next_broker_takes_over(tmp_path: Path) -> None:
    root = {"rootdirectory": str(tmp_path)}
    with RealBus("filesystem", root, workers=1, brokers=2) as bus:
        data = pattern(SIZE)
        with Client(bus.endpoints, deadline=20.0) as client:
            client.put_content("/two/x", data)
            client.stat("/two/x")
            with client.reader("/two/x") as stream:
                found = stream.read(2 * MIB)
                bus.brokers[0].stop()
                found += stream.read()
            assert found == data
            assert leaves_the_lost_alone(lambda: client.stat("/two/x"))
            # Back again, and now the other one goes.
            bus.start_broker(0)
            bus.brokers[0].wait_for_workers(1)
            bus.brokers[1].stop()
            assert client.get_content("/two/x") == data
            bus.start_broker(1)


def test_an_object_that_was_replaced_is_not_mixed(disk_bus: RealBus) -> None:
    with Client(disk_bus.endpoint, deadline=20.0) as client:
        client.put_content("/mixed/x", pattern(SIZE, 1))
        with client.reader("/mixed/x") as stream:
            stream.read(MIB)
            client.put_content("/mixed/x", pattern(SIZE, 2))
            for _ in range(2):
                disk_bus.kill_worker(0)
            disk_bus.add_worker()
            with pytest.raises(DataLossError, match="replaced"):
                stream.read()


def test_what_cannot_be_continued_says_how_much_is_kept() -> None:
    with RealBus() as bus, Client(bus.endpoint, deadline=3.0) as client:
        upload = client.writer("/memory/x")
        upload.write(pattern(2 * MIB))
        bus.kill_worker(0)
        bus.add_worker()
        with pytest.raises(StorageError) as caught:
            upload.write(pattern(2 * MIB))
            upload.commit()
        assert caught.value.durable is not None
        upload.cancel()
        assert client.list("/") == []


def test_a_worker_that_is_stuck_costs_no_more_than_the_deadline() -> None:
    with RealBus() as bus, Client(bus.endpoint, deadline=1.0) as client:
        client.put_content("/stuck/x", bytes(12 * MIB))
        stream = client.reader("/stuck/x")
        upload = client.writer("/stuck/y")
        bus.workers[0].send_signal(19)
        try:
            attempts: list[Callable[[], object]] = [
                lambda: client.stat("/stuck/x"),
                lambda: client.put_content("/stuck/z", b"x"),
                lambda: client.get_content("/stuck/x"),
                lambda: client.list("/"),
                stream.read,
                upload.commit,
            ]
            for attempt in attempts:
                started = time.monotonic()
                with pytest.raises((DeadlineExceededError, UnavailableError)):
                    attempt()
                assert time.monotonic() - started < 10  # other limits are 30 s
        finally:
            bus.workers[0].send_signal(18)


def test_the_bytes_kept_for_an_upload_are_bounded(client: Client) -> None:
    with client.writer("/bounded/x") as upload:
        replay = upload._upload._upload._replay  # type: ignore[attr-defined]
        for _ in range(80):
            upload.write(pattern(MIB))
            assert replay.held <= REPLAY_BYTES_MIN  # what was stored is let go
        upload.commit()
    assert client.stat("/bounded/x").size == 80 * MIB


def test_a_file_is_read_again_and_not_kept(
    disk_bus: RealBus, loss: Callable[[RealBus], None], tmp_path: Path
) -> None:
    data = pattern(SIZE)
    local = tmp_path / "local"
    local.write_bytes(data)
    lost = []

    def moved(count: int) -> None:
        if upload.size > 9 * MIB and not lost:
            lost.append(upload.size)
            loss(disk_bus)

    with (
        Client(disk_bus.endpoint, deadline=20.0) as client,
        local.open("rb") as file,
    ):
        with client.writer("/again/x") as upload:
            assert upload.write_from(file, moved=moved) == SIZE
            replay = upload._upload._upload._replay  # type: ignore[attr-defined]
            assert replay.held == 0
            upload.commit()
        assert lost
        assert client.get_content("/again/x") == data

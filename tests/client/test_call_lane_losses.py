"""Call lanes of workers that die, stand still, or have slow disks."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from call_ways import Ways
from programs import wait_until
from real_bus import RealBus

from storagebus.client import Client
from storagebus.drivers.errors import Executed, StorageError

DATA = bytes(number % 251 for number in range(200_000))
PATIENCE_S = 20.0


def test_a_killed_worker_loses_no_call(
    files: tuple[RealBus, Client], ways: Ways
) -> None:
    bus, client = files
    wrong: list[str] = []
    ended = threading.Event()

    def work(number: int) -> None:
        turn = 0
        while not ended.is_set():
            turn += 1
            path, content = f"/k/{number}", b"%d %d" % (number, turn)
            try:
                client.put_content(path, content)
                if client.get_content(path) != content:
                    wrong.append(path)
            except StorageError as error:
                wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        bus.add_worker()
        time.sleep(0.3)
        bus.kill_worker(0)
    ended.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert wrong == []
    assert ways.direct > 100


def test_a_file_outlives_its_worker(
    files: tuple[RealBus, Client], monkeypatch: pytest.MonkeyPatch, ways: Ways
) -> None:
    bus, _ = files
    monkeypatch.setenv("STORAGEBUS_LANE", "auto")
    large = DATA
    with Client(bus.endpoint) as client:
        client.put_content("/large", large)
        for _ in range(20):
            client.stat("/large")
        ways.reset()
        with client.reader("/large") as reader:
            assert reader.read(10) == large[:10]
            bus.kill_worker(0)
            assert reader.read() == large[10:]


SLOW = """
import os, sys, time
from pathlib import Path
from storagebus.workers.worker import run_worker

endpoint, root, folder = sys.argv[1:]
folder = Path(folder)

def slow(fd):
    if (folder / "slow").exists():
        (folder / "waiting").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)

os.fsync = slow
run_worker(endpoint, "default", "filesystem", {"rootdirectory": root})
"""


FAILING = """
import sys
from storagebus.drivers.errors import StorageError
from storagebus.drivers.filesystem import FilesystemDriver
from storagebus.workers.worker import run_worker

def stat(self, path):
    raise StorageError("the backend is out of its mind")

FilesystemDriver.stat = stat
endpoint, root = sys.argv[1:]
run_worker(endpoint, "default", "filesystem", {"rootdirectory": root})
"""


@contextmanager
def beside_one_that_fails(root: Path) -> Iterator[tuple[RealBus, Client]]:
    """A bus whose one worker fails at each `stat`, with a client that has stored /a."""
    given = {"rootdirectory": str(root)}
    with RealBus("filesystem", given, workers=0) as bus, Client(bus.endpoint) as client:
        broker = bus.brokers[0]
        words = [sys.executable, "-c", FAILING, broker.workers, str(root)]
        failing = subprocess.Popen(words)
        try:
            broker.wait_for_workers(1)
            client.put_content("/a", b"1")
            yield bus, client
        finally:
            failing.terminate()
            failing.wait(PATIENCE_S)


def test_a_worker_that_fails_at_what_others_do_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: Ways
) -> None:
    """The broker hears of its errors, and says who else there is."""
    monkeypatch.setenv("STORAGEBUS_LANE", "auto")
    with beside_one_that_fails(tmp_path) as (bus, client):
        ends = time.monotonic() + PATIENCE_S
        while ways.direct < 5:  # it has a lane to the worker that fails
            assert time.monotonic() < ends
            client.list("/")
        bus.start_worker()
        bus.brokers[0].wait_for_workers(2)
        errors: list[StorageError] = []
        for _ in range(200):
            try:
                client.stat("/a")
            except StorageError as error:
                errors.append(error)
        # By the bus it may meet the same worker a few times, as the broker does not
        # know it yet.
        assert len(errors) < 30, errors


def test_calls_one_by_one_find_out_who_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "off")
    with beside_one_that_fails(tmp_path) as (bus, client):
        bus.start_worker()
        bus.brokers[0].wait_for_workers(2)
        ends = time.monotonic() + PATIENCE_S
        while not is_ejected(client):
            assert time.monotonic() < ends
            for _ in range(20):
                with suppress(StorageError):
                    client.stat("/a")
        for _ in range(50):
            assert client.stat("/a").size == 1


def is_ejected(client: Client) -> bool:
    """Whether a worker is."""
    workers = client.bus_status()["services"]["default"]["workers"]
    return any(worker["state"] == "ejected" for worker in workers)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[RealBus, Path, subprocess.Popen[bytes]]]:
    """A bus whose worker's disk can be held up."""
    root = tmp_path / "root"
    with RealBus("filesystem", {"rootdirectory": str(root)}, workers=0) as bus:
        words = [bus.brokers[0].workers, str(root), str(tmp_path)]
        worker = subprocess.Popen([sys.executable, "-c", SLOW, *words])
        bus.brokers[0].wait_for_workers(1)
        yield bus, tmp_path, worker
        (tmp_path / "go").touch()
        worker.send_signal(signal.SIGCONT)
        worker.terminate()
        worker.wait(PATIENCE_S)


def test_a_late_put_has_no_effect(
    slow: tuple[RealBus, Path, subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    ways: Ways,
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "calls")
    bus, folder, worker = slow
    with Client(bus.endpoint, deadline=30.0) as client:
        bus_calls = -1
        while ways.direct < 3 or ways.by_bus > bus_calls:
            bus_calls = ways.by_bus
            client.put_content("/a", b"before")
        bus.start_worker()
        (folder / "slow").touch()
        first = threading.Thread(target=client.put_content, args=("/a", b"first"))
        first.start()
        assert wait_until((folder / "waiting").exists, PATIENCE_S)
        worker.send_signal(signal.SIGSTOP)
        (folder / "slow").unlink()
        first.join(PATIENCE_S)
        assert not first.is_alive(), "the put did not go on elsewhere"
        client.put_content("/a", b"second")
        (folder / "go").touch()
        worker.send_signal(signal.SIGCONT)
        staging = folder / "root" / "~uploads"
        assert wait_until(lambda: not list(staging.glob("~*.put")), PATIENCE_S)
        time.sleep(0.5)
        assert client.get_content("/a") == b"second"
        assert ways.by_bus > bus_calls


def test_a_hung_disk_holds_up_nobody_else(
    slow: tuple[RealBus, Path, subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "calls")
    bus, folder, _ = slow
    with Client(bus.endpoint, deadline=3.0) as client:
        for _ in range(5):
            client.put_content("/a", b"4")
        (folder / "slow").touch()
        hung: list[BaseException] = []

        def put() -> None:
            try:
                client.put_content("/b", b"hung")
            except StorageError as error:
                hung.append(error)

        thread = threading.Thread(target=put)
        thread.start()
        assert wait_until((folder / "waiting").exists, PATIENCE_S)
        for _ in range(20):
            assert client.get_content("/a") == b"4"
        assert thread.is_alive()
        thread.join(PATIENCE_S)
        [error] = hung
        assert isinstance(error, StorageError)
        assert error.executed is not Executed.YES


def test_a_slow_store_is_left_to_the_bus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: Ways
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "calls")
    script = SLOW.replace(
        'if (folder / "slow").exists()', "time.sleep(0.02)\n    if False"
    )
    root = tmp_path / "root"
    with RealBus("filesystem", {"rootdirectory": str(root)}, workers=0) as bus:
        words = [bus.brokers[0].workers, str(root), str(tmp_path)]
        worker = subprocess.Popen([sys.executable, "-c", script, *words])
        bus.brokers[0].wait_for_workers(1)
        with Client(bus.endpoint) as client:
            for number in range(40):
                client.put_content("/a", b"%d" % number)
            assert client.get_content("/a") == b"39"
            assert ways.by_bus > ways.direct
            ways.reset()

            def direct() -> bool:
                client.stat("/a")
                return ways.direct >= 15

            assert wait_until(direct, PATIENCE_S), "what is quick is still taken"
        worker.terminate()
        worker.wait(PATIENCE_S)

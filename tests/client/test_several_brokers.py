"""Clients of two brokers, of which one is killed, stopped, or ended in good order."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bus_processes import BusProcesses
from real_bus import leaves_the_lost_alone

from storagebus.client import AsyncClient, Client
from storagebus.drivers.errors import StorageError

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _no_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was handed over outlives whoever has sent it."""
    monkeypatch.setenv("STORAGEBUS_LANE", "off")


SIZE = 24 * MIB


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that show where they belong."""
    return random.Random(seed).randbytes(size)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[BusProcesses]:
    """Two workers at two brokers, all processes."""
    parameters = {"rootdirectory": str(tmp_path)}
    with BusProcesses("filesystem", parameters, workers=2, brokers=2) as made:
        yield made


def broker_of(client: Client, bus: BusProcesses) -> int:
    """The number of the broker that a client uses."""
    pid = client.bus_status()["broker"]["pid"]
    return [broker.pid for broker in bus.brokers].index(pid)


def test_a_stopped_broker_costs_calls_and_streams_about_a_second(
    bus: BusProcesses,
) -> None:
    data = pattern(SIZE)
    with Client(bus.endpoints, deadline=20.0) as client:
        client.put_content("/stopped/x", data)
        number = broker_of(client, bus)
        with (
            client.reader("/stopped/x") as stream,
            client.writer("/stopped/y") as upload,
        ):
            found = stream.read(MIB)
            upload.write(data[:MIB])
            bus.brokers[number].send_signal(signal.SIGSTOP)
            started = time.monotonic()
            assert client.stat("/stopped/x").size == SIZE
            took_first = time.monotonic() - started
            found += stream.read()
            upload.write(data[MIB:])
            upload.commit()
            took = time.monotonic() - started
        assert found == data
        assert took_first < 4.0  # its session would be lost after 5 s
        assert took < 10.0
        assert leaves_the_lost_alone(lambda: client.stat("/stopped/x"))
        assert client.get_content("/stopped/y") == data
        bus.brokers[number].send_signal(signal.SIGCONT)
        assert client.get_content("/stopped/x") == data


def test_a_killed_broker_that_returns_empty_is_used_again(bus: BusProcesses) -> None:
    data = pattern(SIZE)
    with Client(bus.endpoints, deadline=20.0) as client:
        client.put_content("/killed/x", data)
        first = broker_of(client, bus)
        with client.reader("/killed/x") as stream:
            found = stream.read(MIB)
            bus.kill_broker(first)
            found += stream.read()
        assert found == data
        assert broker_of(client, bus) == 1 - first
        bus.start_broker(first)
        bus.wait_ready(2)
        bus.kill_broker(1 - first)
        assert client.get_content("/killed/x") == data
        assert broker_of(client, bus) == first


def test_brokers_are_replaced_one_by_one_without_a_failed_call(
    bus: BusProcesses,
) -> None:
    stop = threading.Event()
    failures: list[StorageError] = []
    done = [0] * 4

    def work(number: int) -> None:
        with Client(bus.endpoints, deadline=20.0) as client:
            turn = 0
            while not stop.is_set():
                turn += 1
                path = f"/rolling/{number}"
                data = pattern(200_000, turn)
                try:
                    client.put_content(path, data)
                    client.move(path, f"{path}-moved")
                    assert client.get_content(f"{path}-moved") == data
                    client.delete(f"{path}-moved")
                    done[number] += 1
                except StorageError as error:
                    failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for number in (0, 1):
        bus.brokers[number].terminate()
        assert bus.brokers[number].wait(15) == 0
        bus.start_broker(number)
        bus.wait_ready(2)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert min(done) > 0


def test_an_upload_and_its_commit_outlive_every_broker_in_turn(
    bus: BusProcesses,
) -> None:
    data = pattern(SIZE)
    with Client(bus.endpoints, deadline=20.0) as client:
        with client.writer("/turns/x") as upload:
            for start in range(0, SIZE, 2 * MIB):
                upload.write(data[start : start + 2 * MIB])
                if start in (4 * MIB, 12 * MIB):
                    number = broker_of(client, bus)
                    bus.kill_broker(number)
                    upload.write(b"")
                    bus.start_broker(number)
                    bus.wait_ready(2)
            bus.kill_broker(broker_of(client, bus))
            upload.commit()
        assert client.get_content("/turns/x") == data


def test_the_asynchronous_client_goes_on_as_well(bus: BusProcesses) -> None:
    data = pattern(SIZE)

    async def run() -> bytes:
        async with AsyncClient(bus.endpoints, deadline=20.0) as client:
            async with client.writer("/async/x") as upload:
                await upload.write(data[: 5 * MIB])
                await asyncio.to_thread(kill_one)
                await upload.write(data[5 * MIB :])
                await upload.commit()
            async with client.reader("/async/x") as stream:
                return await stream.read()

    def kill_one() -> None:
        # Whichever it is, half of the clients are at it.
        bus.kill_broker(0)

    assert asyncio.run(run()) == data

"""What every cloud driver must survive: a server that dies, and workers that do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
from real_bus import RealBus
from servers.server import Server

from storagebus.client import Client
from storagebus.drivers import StorageDriver
from storagebus.drivers.errors import (
    DeadlineExceededError,
    PathNotFoundError,
    StorageError,
    UnavailableError,
    UploadNotFoundError,
)

MIB = 1 << 20
CONTENT = Random("outage").randbytes(23 * MIB + 11)
BEFORE = 12 * MIB
"""What is written when the server dies."""
ENDS_S_MAX = 60.0
DURABLE_S_MAX = 30.0
UPLOADS = 3
GRACE_S = 3.0
"""Of a worker that is replaced. What it has begun waits until it is gone."""


def check_outage(
    server: Server, driver: StorageDriver, revive: Callable[[], None], durable: int
) -> None:
    """Kill a server while transfers run: typed errors, nothing partial, all goes on.

    Args:
        server: killed, and started again by `revive`.
        driver: over a folder of its own; sends parts one after the other.
        revive: starts the server with the data that it had.
        durable: bytes of the upload that must outlive the server; 0 where the server
            itself may forget the last seconds.
    """
    driver.put_content("/old", CONTENT)
    upload = driver.writer("/x")
    upload.write(CONTENT[:BEFORE])
    assert wait_for(lambda: upload.durable >= durable), upload.durable
    stream = driver.reader("/old")
    assert stream.read(1_000) == CONTENT[:1_000]
    server.kill()

    def go_on() -> None:
        upload.write(CONTENT[BEFORE:])
        upload.commit()

    calls: dict[str, Callable[[], object]] = {
        "upload": go_on,
        "read": stream.read,
        "put": lambda: driver.put_content("/put", b"new"),
        "stat": lambda: driver.stat("/old"),
        "list": lambda: driver.list("/"),
        "move": lambda: driver.move("/old", "/moved"),
        "delete": lambda: driver.delete("/old"),
    }
    ended = together(calls)
    kinds = (UnavailableError, DeadlineExceededError)
    assert ended.keys() == calls.keys(), f"still running: {calls.keys() - ended.keys()}"
    wrong = {name: end for name, end in ended.items() if not isinstance(end, kinds)}
    assert not wrong
    close_quietly(stream, upload)
    revive()
    if not durable:
        return
    assert driver.get_content("/old") == CONTENT
    for path in ("/x", "/put", "/moved"):
        with pytest.raises(PathNotFoundError):
            driver.stat(path)
    with driver.writer("/x", upload_id=upload.upload_id) as again:
        assert again.size >= durable
        again.write(CONTENT[again.size :])
        again.commit()
    assert driver.get_content("/x") == CONTENT


def check_worker_losses(name: str, parameters: dict[str, Any]) -> None:
    """Kill and replace workers while uploads and a read run: nobody notices.

    Args:
        name: the driver's.
        parameters: the driver's own.
    """
    with (
        RealBus(name, parameters, workers=2, grace_s=GRACE_S) as bus,
        Client(bus.endpoint, deadline=60.0) as client,
    ):
        client.put_content("/old", CONTENT)
        begun, struck = threading.Semaphore(0), threading.Event()
        calls: dict[str, Callable[[], object]] = {
            str(number): partial(_upload, client, number, begun, struck)
            for number in range(UPLOADS)
        }
        calls["read"] = partial(_read, client, begun, struck)
        striker = threading.Thread(target=_strike, args=(bus, begun, struck))
        striker.start()
        ended = together(calls)
        striker.join(ENDS_S_MAX)
        assert ended == dict.fromkeys(calls)
        for number in range(UPLOADS):
            assert client.get_content(f"/up/{number}") == CONTENT[number:]
        client.delete("/up")
        client.delete("/old")


def _upload(
    client: Client, number: int, begun: threading.Semaphore, struck: threading.Event
) -> None:
    """A part before the workers are lost, one meanwhile, the rest afterwards."""
    content, path = memoryview(CONTENT)[number:], f"/up/{number}"
    with client.writer(path) as upload:
        for start in range(0, len(content), MIB):
            upload.write(content[start : start + MIB])
            if start == BEFORE // 2:
                # A worker that dies while it makes the upload in the store may leave
                # one there that nobody knows of, for the reaper.
                assert wait_for(
                    lambda: client.upload_status(path, upload.upload_id).durable > 0
                )
                begun.release()
            if start == BEFORE:
                assert struck.wait(ENDS_S_MAX)
        upload.commit()


def _read(client: Client, begun: threading.Semaphore, struck: threading.Event) -> None:
    with client.reader("/old") as stream:
        found = stream.read(MIB)
        begun.release()
        assert struck.wait(ENDS_S_MAX)
        assert found + stream.read() == CONTENT


def _strike(bus: RealBus, begun: threading.Semaphore, struck: threading.Event) -> None:
    """kill -9 of one worker at work; an orderly replacement of the other."""
    for _ in range(UPLOADS + 1):
        begun.acquire(timeout=ENDS_S_MAX)
    bus.kill_worker(0)
    bus.add_worker()
    replaced = bus.workers.pop(0)
    replaced.terminate()
    bus.add_worker()
    assert replaced.wait(ENDS_S_MAX) == 0
    struck.set()


def together(calls: dict[str, Callable[[], object]]) -> dict[str, object]:
    """Run calls at once; how each ended: its error, or None. Those that hang lack."""
    ended: dict[str, object] = {}

    def run(name: str, call: Callable[[], object]) -> None:
        try:
            call()
            ended[name] = None
        except BaseException as error:
            ended[name] = error

    threads = [threading.Thread(target=run, args=item) for item in calls.items()]
    for thread in threads:
        thread.daemon = True
        thread.start()
    end = time.monotonic() + ENDS_S_MAX
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return ended


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + DURABLE_S_MAX
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return true


def close_quietly(*streams: Any) -> None:
    """Close what belongs to a server that is gone."""
    for stream in streams:
        try:
            stream.close()
        except (StorageError, UploadNotFoundError):
            pass

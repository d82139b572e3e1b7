"""From kill -9 to the next byte of a stream that goes on: workers, then brokers.

The bus has two workers and two brokers, all processes, and streams go inline, as
between hosts: a file that was handed over survives its worker anyway. A reader takes
pieces as fast as they come; the worker or broker that serves it is killed, and the
clock runs until the first piece that comes by another stream.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from figures import Figure, at_most
from scene import Scene

sys.path.append(str(Path(__file__).parents[1] / "support"))

from bus_processes import BusProcesses

from storagebus.client import Client

AIM_MS = 250.0
BLOB_BYTES = 64 << 20
PIECE_BYTES = 65_536
LANES = "STORAGEBUS_LANE"


def figures(scene: Scene) -> Iterator[Figure]:
    count = 3 if scene.sizes.blob_mib < 100 else 20
    with tempfile.TemporaryDirectory(dir=scene.folder) as root, inline():
        for what in ("worker", "broker"):
            times = sorted(measure(root, what, count))
            median = statistics.median(times) * 1000
            yield Figure(
                f"kill -9 of a {what} to the next byte of its stream",
                median,
                at_most(AIM_MS),
                f"{times[0] * 1000:.0f} to {times[-1] * 1000:.0f} ms, {count} times",
                "ms",
            )


def measure(root: str, what: str, count: int) -> list[float]:
    """Seconds from the kill to the next byte, so many times."""
    times = []
    parameters = {"rootdirectory": root}
    with BusProcesses("filesystem", parameters, workers=2, brokers=2) as bus:
        with Client(bus.endpoints) as client:
            client.put_content("/blob", os.urandom(BLOB_BYTES))
        for _ in range(count):
            # A new client, as one that has left a broker does not return at once.
            with Client(bus.endpoints) as client:
                times.append(once(bus, client, what))
            bus.wait_ready(2)
    return times


def once(bus: BusProcesses, client: Client, what: str) -> float:
    """Kill who serves a stream; seconds until it goes on."""
    with client.reader("/blob") as reader:
        reading: Any = reader._stream._reading  # type: ignore[attr-defined]
        reader.read(PIECE_BYTES)
        handle = reading._handle
        kill = victim(bus, what)
        started = time.perf_counter()
        kill()
        while reading._handle is handle:
            assert reader.read(PIECE_BYTES), "it ended before it was interrupted"
        took = time.perf_counter() - started
    if what == "worker":
        bus.start_worker()
    else:
        dead = [broker.poll() is not None for broker in bus.brokers]
        bus.start_broker(dead.index(True))
    return took


def victim(bus: BusProcesses, what: str) -> Callable[[], None]:
    """What kills the process that serves the only stream."""
    for number, endpoint in enumerate(bus.endpoints):
        with Client(endpoint) as client:
            workers = client.bus_status()["services"]["default"]["workers"]
        for worker in workers:
            if not worker["streams"]:
                continue
            if what == "broker":
                return lambda: bus.kill_broker(number)
            pids = [each.pid for each in bus.workers]
            return lambda: bus.kill_worker(pids.index(worker["pid"]))
    raise AssertionError("nobody has the stream")


@contextmanager
def inline() -> Iterator[None]:
    """Without lanes."""
    before = os.environ.get(LANES)
    os.environ[LANES] = "off"
    try:
        yield
    finally:
        if before is None:
            del os.environ[LANES]
        else:
            os.environ[LANES] = before

"""What is measured: a bus, a gRPC server and an in-process driver over one folder.

The folder lies on tmpfs, so that the disk is not what is measured. Each part starts
when a benchmark first asks for it.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from blobs import MIB, drain, fill
from children import Child
from grpc_peer import Channel
from measure import seconds
from started import started

from storagebus.client import Client
from storagebus.drivers import StorageDriver, create

BLOB = "/blob"
SMALL = "/small"
SMALL_BYTES = 1024
LANE = "STORAGEBUS_LANE"
GRPC = str(Path(__file__).with_name("grpc_peer.py"))


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        rounds: of each ratio, beside the one that is thrown away.
        blob_mib: the object that is streamed.
        for_s: seconds that a rate is measured.
        calls: serial calls of which one figure is the median.
        files: small files.
        upload_mib: of each of the uploads at once.
        stalled: readers that have stopped.
        idle: clients without work.
        streams: streams at once, where there are many.
    """

    rounds: int = 5
    blob_mib: int = 1024
    for_s: float = 3.0
    calls: int = 1000
    files: int = 10_000
    upload_mib: int = 100
    stalled: int = 1000
    idle: int = 5000
    streams: int = 1000


QUICK = Sizes(3, 128, 1.0, 500, 2000, 20, 500, 1000, 500)
SMOKE = Sizes(1, 4, 0.1, 10, 32, 1, 8, 8, 16)


class Scene:
    """One run.

    Args:
        folder: on tmpfs; the caller removes it.
        sizes: how much.
        workers: processes of the bus's service.
    """

    def __init__(self, folder: Path, sizes: Sizes, workers: int = 1) -> None:
        self.folder = folder
        self.sizes = sizes
        self.ipc = f"ipc://{folder}/bus"
        self.tcp = f"tcp://127.0.0.1:{free_port()}"
        self._workers = workers
        self._ends = ExitStack()

    @cached_property
    def local(self) -> StorageDriver:
        """The driver in this process, with a blob and a small object."""
        driver = create("filesystem", {"rootdirectory": str(self.folder / "data")})
        fill(driver, BLOB, self.sizes.blob_mib)
        driver.put_content(SMALL, os.urandom(SMALL_BYTES))
        return driver

    @cached_property
    def client(self) -> Client:
        """A client of the bus on this host, as anybody gets it."""
        return self.connect(self.ipc)

    @cached_property
    def peer(self) -> Channel:
        """A client of the gRPC server, over a Unix socket."""
        return self.channel(self.grpc[0])

    @cached_property
    def broker(self) -> list[int]:
        """The broker's process."""
        return [self._status["broker"]["pid"]]

    @cached_property
    def processes(self) -> list[int]:
        """Processes of the bus: the broker, and the workers of all services."""
        services = self._status["services"].values()
        return [
            *self.broker,
            *(worker["pid"] for service in services for worker in service["workers"]),
        ]

    @cached_property
    def grpc(self) -> tuple[str, str]:
        """Addresses of the gRPC server: a Unix socket's, and TCP's."""
        _ = self.local
        addresses = f"unix://{self.folder}/grpc", f"127.0.0.1:{free_port()}"
        self.child(GRPC, self.folder / "data", *addresses)
        return addresses

    def connect(self, endpoint: str, lane: str = "auto") -> Client:
        """A client of the bus, closed at the end.

        Args:
            endpoint: where.
            lane: which lanes it takes; "off" is what a client on another host has.
        """
        _ = self._bus
        before = os.environ.get(LANE)
        os.environ[LANE] = lane
        try:
            return self._ends.enter_context(Client(endpoint))
        finally:
            os.environ.pop(LANE)
            if before is not None:
                os.environ[LANE] = before

    def channel(self, address: str) -> Channel:
        """A client of the gRPC server, closed at the end."""
        channel = Channel(address)
        self._ends.callback(channel.close)
        return channel

    def child(self, file: str, *words: object) -> Child:
        """A process beside this one, ended at the end."""
        return self._ends.enter_context(Child(file, *words))

    def close(self) -> None:
        """End all that was started."""
        self._ends.close()

    @cached_property
    def _status(self) -> dict[str, Any]:
        return self.client.bus_status()

    @cached_property
    def _bus(self) -> None:
        _ = self.local
        given = {"rootdirectory": str(self.folder / "data")}
        doors = (self.ipc, self.tcp)
        self._ends.enter_context(
            started(self.folder, doors, "filesystem", given, self._workers)
        )


def read_speed(driver: StorageDriver) -> float:
    """Bytes a second at which the blob is read."""
    count = 0

    def read() -> None:
        nonlocal count
        count = drain(driver, BLOB)

    return seconds(read) ** -1 * count


def write_speed(driver: StorageDriver, mib: int) -> float:
    """Bytes a second at which a blob is written."""
    return mib * MIB / seconds(lambda: fill(driver, "/written", mib))


def speeds(ours: float, theirs: float) -> str:
    """Both sides of a ratio of speeds."""
    return f"{ours / 1e9:.2f} / {theirs / 1e9:.2f} GB/s"


def rates(ours: float, theirs: float) -> str:
    """Both sides of a ratio of rates."""
    return f"{ours:,.0f} / {theirs:,.0f} a second"


def times(ours: float, theirs: float) -> str:
    """Both sides of a ratio of times."""
    return f"{ours * 1e6:,.0f} / {theirs * 1e6:,.0f} µs"


def free_port() -> int:
    """A TCP port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

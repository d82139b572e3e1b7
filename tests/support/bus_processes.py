"""A bus whose brokers and workers are all processes, to be killed and stopped."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Any

from storagebus.client import Client
from storagebus.drivers.errors import StorageError

WAIT_S = 30.0
_RUN = [sys.executable, "-m", "storagebus.conf"]


class BusProcesses:
    """Brokers and the workers of a service `default`, which join all of them.

    Args:
        driver: the driver's name.
        parameters: the driver's own.
        workers: how many.
        brokers: how many.
    """

    def __init__(
        self, driver: str, parameters: dict[str, Any], workers: int, brokers: int
    ) -> None:
        self.folder = tempfile.mkdtemp(prefix="sb")  # short, as sockets' paths are
        self._driver = driver
        self._parameters = parameters
        self.brokers = [self._start_broker(number) for number in range(brokers)]
        self.workers = [self._start_worker() for _ in range(workers)]
        self.wait_ready(workers)

    @property
    def endpoints(self) -> list[str]:
        """The brokers' addresses for clients."""
        return [f"ipc://{self.folder}/c{n}" for n in range(len(self.brokers))]

    def wait_ready(self, workers: int) -> None:
        """Wait until every broker has so many workers."""
        ends = time.monotonic() + WAIT_S
        for endpoint in self.endpoints:
            with Client(endpoint, deadline=1.0) as client:
                while _ready_workers(client) != workers:
                    assert time.monotonic() < ends, "not everybody has come"
                    time.sleep(0.02)

    def kill_broker(self, number: int) -> None:
        """End a broker the hard way."""
        self.brokers[number].kill()
        self.brokers[number].wait(WAIT_S)

    def start_broker(self, number: int) -> None:
        """Start a broker again."""
        self.brokers[number] = self._start_broker(number)

    def kill_worker(self, number: int) -> None:
        """End a worker the hard way."""
        worker = self.workers.pop(number)
        worker.kill()
        worker.wait(WAIT_S)

    def start_worker(self) -> None:
        """Start one more worker."""
        self.workers.append(self._start_worker())

    def close(self) -> None:
        """End everything."""
        processes = [*self.workers, *self.brokers]
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in processes:
            process.wait(WAIT_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> BusProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start_broker(self, number: int) -> subprocess.Popen[bytes]:
        doors = ["--clients", f"ipc://{self.folder}/c{number}"]
        doors += ["--workers", f"ipc://{self.folder}/w{number}"]
        return _start("broker", *doors, "--service", "default")

    def _start_worker(self) -> subprocess.Popen[bytes]:
        doors = ",".join(f"ipc://{self.folder}/w{n}" for n in range(len(self.brokers)))
        given = json.dumps(self._parameters)
        words = ["--endpoint", doors, "--driver", self._driver, "--parameters", given]
        return _start("worker", "default", *words)


def _start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*_RUN, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _ready_workers(client: Client) -> int:
    try:
        found = client.bus_status()["services"].get("default", {"workers": []})
    except StorageError:
        return -1
    return sum(worker["state"] == "ready" for worker in found["workers"])

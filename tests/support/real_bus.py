"""A real bus for a test: a broker on a thread, workers as processes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from storagebus.broker.loop import Broker
from storagebus.broker.settings import BrokerSettings

WAIT_S = 20.0
ASKED_S = 0.9
"""What a call takes at least that asks a lost broker first."""
_WORKER = """
import json, sys
from storagebus.workers.worker import run_worker
endpoint, driver, parameters, grace = sys.argv[1:]
run_worker(
    endpoint.split(","),
    "default",
    driver,
    json.loads(parameters),
    grace_s=json.loads(grace),
)
"""


class RealBroker:
    """A broker on a thread of this process.

    Args:
        folder: where its sockets lie; short, as Unix sockets have short paths.
        name: its name among others in the folder.
        settings: limits other than the defaults.
    """

    def __init__(self, folder: str, name: str = "b", **settings: Any) -> None:
        self.endpoint = f"ipc://{folder}/{name}.c"
        self.workers = f"ipc://{folder}/{name}.w"
        self._broker = Broker(
            BrokerSettings(
                (self.endpoint,),
                (self.workers,),
                broker_id=name,
                services=("default",),
                **settings,
            )
        )
        self._thread = threading.Thread(target=self._broker.run, name=f"broker-{name}")
        self._thread.start()

    def ready_workers(self) -> int:
        """How many workers serve."""
        workers = self._broker.core.roster.services.get("default", [])
        return sum(not worker.draining for worker in list(workers))

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many serve."""
        ends = time.monotonic() + WAIT_S
        while self.ready_workers() != count:
            assert time.monotonic() < ends, "the workers have not come"
            time.sleep(0.01)

    def stop(self) -> None:
        """End it in good order."""
        self._broker.stop()
        self._thread.join(WAIT_S)


class RealBus:
    """Brokers, and workers of one service `default` at all of them.

    Args:
        driver: the driver's name.
        parameters: the driver's own.
        workers: processes.
        brokers: how many.
        grace_s: seconds that workers take for what they have begun when they are told
            to stop; None for their own default.
        settings: limits of the brokers.
    """

    def __init__(
        self,
        driver: str = "inmemory",
        parameters: dict[str, Any] | None = None,
        workers: int = 1,
        brokers: int = 1,
        grace_s: float | None = None,
        **settings: Any,
    ) -> None:
        self.folder = tempfile.mkdtemp(prefix="sb")
        self._driver = driver
        self._parameters = parameters or {}
        self._grace_s = grace_s
        self._settings = settings
        self.brokers = [
            RealBroker(self.folder, f"b{number}", **settings)
            for number in range(brokers)
        ]
        self.workers: list[subprocess.Popen[bytes]] = []
        try:
            for _ in range(workers):
                self.add_worker()
        except BaseException:
            self.close()
            raise

    @property
    def endpoint(self) -> str:
        """The first broker's address for clients."""
        return self.brokers[0].endpoint

    @property
    def endpoints(self) -> list[str]:
        """All of them."""
        return [broker.endpoint for broker in self.brokers]

    def add_worker(self) -> None:
        """Start a worker, and wait until it serves."""
        self.start_worker()
        for broker in self.brokers:
            broker.wait_for_workers(len(self.workers))

    def start_worker(self) -> None:
        """Start a worker, which serves some time later."""
        doors = ",".join(broker.workers for broker in self.brokers)
        given, grace = json.dumps(self._parameters), json.dumps(self._grace_s)
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER, doors, self._driver, given, grace],
            stderr=subprocess.DEVNULL,
        )
        self.workers.append(worker)

    def kill_worker(self, number: int = 0) -> None:
        """End a worker the hard way."""
        worker = self.workers.pop(number)
        worker.kill()
        worker.wait(WAIT_S)

    def restart_broker(self, number: int = 0) -> None:
        """Stop a broker, and start another at the same address."""
        self.brokers[number].stop()
        self.start_broker(number)

    def start_broker(self, number: int) -> None:
        """Start a broker again that was stopped."""
        self.brokers[number] = RealBroker(self.folder, f"b{number}", **self._settings)

    def close(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.send_signal(signal.SIGINT)
        for worker in self.workers:
            worker.wait(WAIT_S)
        for broker in self.brokers:
            broker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> RealBus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def leaves_the_lost_alone(call: Callable[[], object]) -> bool:
    """Whether a repeated call asks no broker that was lost.

    A busy machine may hold up one or two for as long as that would take.
    """
    slow = 0
    for _ in range(20):
        started = time.monotonic()
        call()
        slow += time.monotonic() - started >= ASKED_S
    return slow <= 2

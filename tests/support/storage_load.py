"""Load on a bus that keeps account: what was acknowledged must be there."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from types import TracebackType

from storagebus.client import Client
from storagebus.drivers import StorageDriver

PAUSE_S = 0.002
"""So that a test of some seconds leaves the machine to the processes under test."""


class StorageLoad:
    """Threads that write and read back, each below a directory of its own.

    Args:
        endpoint: the broker.
        service: the service.
        threads: how many at once.
        deadline_s: of each call.

    Attributes:
        failures: every call that failed, and every byte that was wrong.
    """

    def __init__(
        self, endpoint: str, service: str, threads: int = 3, deadline_s: float = 30.0
    ) -> None:
        self.failures: list[str] = []
        self._client = Client(endpoint, service=service, deadline=deadline_s)
        self._acknowledged: dict[str, str] = {}
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"load-{number}")
            for number in range(threads)
        ]

    @property
    def done(self) -> int:
        """Objects that were acknowledged."""
        return len(self._acknowledged)

    def wait_for(self, more: int, timeout_s: float = 30.0) -> None:
        """Wait until so many more objects are stored: the service works."""
        wanted = self.done + more
        deadline = time.monotonic() + timeout_s
        while self.done < wanted:
            assert time.monotonic() < deadline, self.failures or "the load stands still"
            time.sleep(0.01)

    def verify(self, store: StorageDriver) -> None:
        """Compare what was acknowledged with what is there."""
        assert self._acknowledged
        for path, digest in self._acknowledged.items():
            assert hashlib.sha256(store.get_content(path)).hexdigest() == digest, path

    def _work(self, number: int) -> None:
        chance = random.Random(number)
        turn = 0
        while not self._over.wait(PAUSE_S):
            turn += 1
            path = f"/load/{number}/{turn}"
            data = chance.randbytes(chance.choice((10, 10_000, 400_000)))
            try:
                if turn % 3:
                    self._client.put_content(path, data)
                else:
                    with self._client.writer(path) as upload:
                        half = chance.randrange(len(data))
                        upload.write(data[:half])
                        upload.write(data[half:])
                        upload.commit()
                self._acknowledged[path] = hashlib.sha256(data).hexdigest()
                if self._client.get_content(path) != data:
                    self.failures.append(f"{path}: other bytes")
            except Exception as error:
                self.failures.append(f"{path}: {type(error).__name__}: {error}")

    def __enter__(self) -> StorageLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a call hangs"
        self._client.close()

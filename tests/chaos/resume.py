"""How long a stream stands still when the process that serves it is killed."""

from __future__ import annotations

import hashlib
import random
import statistics
import threading
import time
from collections.abc import Callable
from itertools import pairwise

from storagebus.client import Client

from .fleet import Fleet, Member, State
from .scene import Scene, Settings

SIZE = 192 << 20
BLOCK_BYTES = 1 << 20
READ_BYTES = 262_144
LEFT_BYTES_MIN = 48 << 20
"""A stream that had less to come when its process was killed shows nothing."""
DEADLINE_S = 30.0
WAIT_S_MAX = 60.0
ATTEMPTS_PER_SAMPLE = 5
PATH = "/resume/object"
SETTINGS = Settings(
    brokers=2, workers=3, faulty=0, clients=0, is_networked=False, has_full_disk=False
)


class Resume:
    """A bus of its own, on which one stream after another is broken.

    Args:
        seed: when each is.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"resume/{seed}")
        self._scene = Scene(SETTINGS)
        self._fleet = Fleet([*self._scene.brokers(), *self._scene.workers()])

    def medians_ms(self, kills: int) -> dict[str, float]:
        """Milliseconds from kill -9 to the next byte, by who was killed."""
        try:
            for kind in ("broker", "worker"):
                self._fleet.start(kind)
                self._await_all()
            with Client(self._scene.endpoints, deadline=DEADLINE_S) as client:
                digest = self._store(client)
                return {
                    kind: statistics.median(
                        self._sample(client, find, digest) for _ in range(kills)
                    )
                    for kind, find in (
                        ("worker", self._serving_worker),
                        ("broker", self._serving_broker),
                    )
                }
        finally:
            self._fleet.is_over = True
            self._fleet.close()
            self._scene.close()

    def _store(self, client: Client) -> str:
        whole = hashlib.sha256()
        with client.writer(PATH) as upload:
            for _ in range(SIZE // BLOCK_BYTES):
                block = self._chance.randbytes(BLOCK_BYTES)
                whole.update(block)
                upload.write(block)
            upload.commit()
        return whole.hexdigest()

    def _sample(
        self, client: Client, find: Callable[[Client], Member], digest: str
    ) -> float:
        for _ in range(ATTEMPTS_PER_SAMPLE):
            self._await_all()
            reading = Reading(client)
            reading.await_bytes(self._chance.randint(SIZE // 20, SIZE // 5))
            victim = find(client)
            left = SIZE - reading.count
            killed = time.monotonic()
            self._fleet.kill(victim)
            reading.join()
            assert reading.digest == digest, "other bytes after a kill"
            if left >= LEFT_BYTES_MIN:
                return reading.gap_ms(killed)
        raise AssertionError("every stream was over before its process was killed")

    def _serving_worker(self, client: Client) -> Member:
        busiest = max(
            client.bus_status()["services"]["default"]["workers"],
            key=lambda worker: worker["streams"],
        )
        (found,) = [m for m in self._fleet.of("worker") if m.pid == busiest["pid"]]
        return found

    def _serving_broker(self, client: Client) -> Member:
        return self._fleet.members[client.bus_status()["broker"]["id"]]

    def _await_all(self) -> None:
        ends = time.monotonic() + WAIT_S_MAX
        running = [m for m in self._fleet.members.values() if m.process is not None]
        while True:
            self._fleet.look()
            if all(member.state is State.READY for member in running):
                return
            assert time.monotonic() < ends, "the processes do not come back"
            time.sleep(0.02)


class Reading:
    """A thread that reads the object as fast as it comes.

    Attributes:
        count: bytes so far.
        digest: of all, in the end.
    """

    def __init__(self, client: Client) -> None:
        self.count = 0
        self.digest = ""
        self._client = client
        self._times: list[float] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def await_bytes(self, count: int) -> None:
        """Wait until so many have come."""
        while self.count < count and self._thread.is_alive():
            time.sleep(0.001)

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(2 * DEADLINE_S)
        assert not self._thread.is_alive(), "a read hangs"

    def gap_ms(self, since: float) -> float:
        """Milliseconds from a moment to the end of the longest standstill after it."""
        after = [since, *(moment for moment in self._times if moment > since)]
        gaps = pairwise(after)
        return 1000 * (max(gaps, key=lambda gap: gap[1] - gap[0])[1] - since)

    def _read(self) -> None:
        whole = hashlib.sha256()
        with self._client.reader(PATH) as stream:
            while piece := stream.read(READ_BYTES):
                self._times.append(time.monotonic())
                self.count += len(piece)
                whole.update(piece)
        self.digest = whole.hexdigest()

"""A cloud driver beside the plain SDK, on one server: in this process, and as a bus."""

from __future__ import annotations

import json
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from blobs import MIB, PIECE, drain, fill
from children import Child
from figures import Aim, Figure, at_least, at_most
from measure import at_once, ratio, seconds
from started import started

from storagebus.client import Client
from storagebus.drivers import StorageDriver, create

SMALL_BYTES = 4096
SMALL_THREADS = 16
AT_ONCE = 4
UPLOADS_COUNT = 32
LATENCY_MS = 20
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        rounds: of each ratio, beside the one that is thrown away.
        blob_mib: the object that is streamed.
        far_mib: the same over the long line.
        small: objects that are put and got.
        upload_mib: of each of the uploads at once.
    """

    rounds: int = 3
    blob_mib: int = 1024
    far_mib: int = 64
    small: int = 1000
    upload_mib: int = 100


QUICK = Sizes(3, 64, 32, 300, 20)
SMOKE = Sizes(1, 12, 12, 32, 1)


class Peer(ABC):
    """The plain SDK, at the driver's part size and concurrency."""

    @abstractmethod
    def upload(self, mib: int, parts_at_once: int) -> None:
        """Store an object."""

    @abstractmethod
    def download(self, parts_at_once: int) -> None:
        """Read what was stored last."""

    @abstractmethod
    def put(self, number: int, content: bytes) -> None:
        """Store a small object."""

    @abstractmethod
    def get(self, number: int) -> bytes:
        """Read a small object."""


class CloudScene:
    """One server with both sides.

    Args:
        name: of the driver.
        given: its parameters.
        peer: the plain SDK on the same server.
        sizes: how much is measured.
    """

    def __init__(
        self, name: str, given: dict[str, Any], peer: Peer, sizes: Sizes
    ) -> None:
        self.name = name
        self.given = given
        self.peer = peer
        self.sizes = sizes
        self._ends = ExitStack()

    @cached_property
    def local(self) -> StorageDriver:
        """The driver in this process."""
        return self._ends.enter_context(create(self.name, self.given))

    @cached_property
    def bus(self) -> Client:
        """A client of a bus whose worker has the driver."""
        folder = Path(self._ends.enter_context(tempfile.TemporaryDirectory()))
        door = f"ipc://{folder}/bus"
        self._ends.enter_context(started(folder, [door], self.name, self.given))
        return self._ends.enter_context(Client(door))

    def close(self) -> None:
        """End all that was started."""
        self._ends.close()


def chosen_figures(
    scene: CloudScene, sdk: str, rows: Collection[str], budget: dict[str, Any]
) -> Iterator[Figure]:
    """The rows of a scene whose server is near; the scene is closed at the end.

    Args:
        scene: both sides.
        sdk: what the other side is called.
        rows: which of "near" and "memory".
        budget: parameters of a driver that is to take little memory.
    """
    with closing(scene):
        if "near" in rows:
            yield from figures(scene, sdk)
        if "memory" in rows:
            yield from memory_figures(scene, budget)


def figures(scene: CloudScene, sdk: str) -> Iterator[Figure]:
    """The rows of one driver.

    Args:
        scene: both sides.
        sdk: what the other side is called.
    """
    mib, peer, driver = scene.sizes.blob_mib, scene.peer, scene.local
    named = f"{scene.name}, {mib} MiB"

    def up(on: StorageDriver) -> Callable[[], None]:
        return lambda: fill(on, "/ours", mib)

    def down(on: StorageDriver) -> Callable[[], object]:
        return lambda: drain(on, "/ours")

    def their_up() -> None:
        peer.upload(mib, AT_ONCE)

    def their_down() -> None:
        peer.download(AT_ONCE)

    what = f"{named} up, driver / {sdk}"
    yield from _faster(what, up(driver), their_up, scene, at_least(1))
    what = f"{named} down, driver / {sdk}"
    yield from _faster(what, down(driver), their_down, scene, at_least(1))
    aim = at_least(0.95)
    what = f"{named} up, bus / driver"
    yield next(_faster(what, up(scene.bus), up(driver), scene, aim))
    what = f"{named} down, bus / driver"
    yield next(_faster(what, down(scene.bus), down(driver), scene, aim))
    yield from small_figures(scene, sdk)


def small_figures(scene: CloudScene, sdk: str) -> Iterator[Figure]:
    """The rows of small objects."""
    count, peer = scene.sizes.small, scene.peer
    content = PIECE[:SMALL_BYTES]
    named = f"{scene.name}, {count} x 4 KiB, {SMALL_THREADS} at once,"

    def many(call: Callable[[int], object]) -> Callable[[], float]:
        def work(first: int) -> None:
            for number in range(first, count, SMALL_THREADS):
                call(number)

        return lambda: at_once(work, SMALL_THREADS)

    def put(on: StorageDriver) -> Callable[[], float]:
        return many(lambda number: on.put_content(f"/small/{number}", content))

    def get(on: StorageDriver) -> Callable[[], float]:
        return many(lambda number: on.get_content(f"/small/{number}"))

    their_put = many(lambda number: peer.put(number, content))
    their_get = many(peer.get)
    for what, ours, theirs in (("put", put, their_put), ("get", get, their_get)):
        local, bus = ours(scene.local), ours(scene.bus)
        yield from _faster(f"{named} {what}, driver / {sdk}", local, theirs, scene)
        aim = at_least(0.9)
        line = f"{named} {what}, bus / {sdk}"
        yield next(_faster(line, bus, theirs, scene, aim))


def far_figures(scene: CloudScene, sdk: str) -> Iterator[Figure]:
    """The rows of a scene whose server is far away; it is closed at the end."""
    with closing(scene):
        yield from _far_figures(scene, sdk)


def _far_figures(scene: CloudScene, sdk: str) -> Iterator[Figure]:
    mib, peer, driver = scene.sizes.far_mib, scene.peer, scene.local
    for parts, other in ((1, "serial parts"), (AT_ONCE, sdk)):
        aim = at_least(1)
        named = f"{scene.name}, {LATENCY_MS} ms away, {mib} MiB"
        yield next(_faster(
            f"{named} up, driver / {other}",
            lambda: fill(driver, "/far", mib),
            lambda parts=parts: peer.upload(mib, parts),  # type: ignore[misc]
            scene, aim,
        ))  # fmt: skip
        yield next(_faster(
            f"{named} down, driver / {other}",
            lambda: drain(driver, "/far"),
            lambda parts=parts: peer.download(parts),  # type: ignore[misc]
            scene, aim,
        ))  # fmt: skip


def memory_figures(scene: CloudScene, budget: dict[str, Any]) -> Iterator[Figure]:
    """The rows of memory: uploads at once in a process that does nothing else."""
    rows = (("by default", {}, 400), ("with a budget of 32 MiB", budget, 128))
    for name, more, most in rows:
        peak = peak_of_uploads(scene, more)
        yield Figure(
            f"{scene.name}, {UPLOADS_COUNT} x {scene.sizes.upload_mib} MiB up at once, "
            f"{name}: peak",
            peak, at_most(most), unit="MiB",
        )  # fmt: skip


def peak_of_uploads(scene: CloudScene, more: dict[str, Any]) -> float:
    """Most MiB that a process of its own has while it uploads."""
    given = {**scene.given, **more}
    # What the SDK adds to a machine's own defaults is no part of the driver's.
    file = str(HERE / "cloud_uploads.py")
    with Child(file, scene.name, json.dumps(given)) as child:
        answer = child.ask([UPLOADS_COUNT, scene.sizes.upload_mib])
    return float(answer) / MIB


def _faster(
    what: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    scene: CloudScene,
    aim: Aim | None = None,
) -> Iterator[Figure]:
    """Speed of one side by that of the other, and then their processor time."""
    costs: dict[str, list[float]] = {"ours": [], "theirs": []}

    def timed(side: str, work: Callable[[], object]) -> float:
        before = time.process_time()
        took = seconds(work)
        costs[side].append(time.process_time() - before)
        return took

    yours, mine, speed = ratio(
        lambda: timed("theirs", theirs), lambda: timed("ours", ours), scene.sizes.rounds
    )
    yield Figure(what, speed, aim, f"{mine:.2f} / {yours:.2f} s")
    cost = [sorted(values)[len(values) // 2] for values in costs.values()]
    yield Figure(
        f"{what}: processor time", cost[0] / max(cost[1], 1e-9), None,
        f"{cost[0]:.2f} / {cost[1]:.2f} s",
    )  # fmt: skip

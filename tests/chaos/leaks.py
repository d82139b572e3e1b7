"""What is left when nobody wants anything any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from storagebus.client import Client
from storagebus.drivers.errors import StorageError

if TYPE_CHECKING:
    from .scene import Scene

ASK_S = 5.0


def unsettled(scene: Scene, workers: Iterable[int]) -> list[str]:
    """What brokers still count, and what workers still have open, in words."""
    held: list[str] = []
    for name, (door, _) in scene.doors.items():
        try:
            with Client(door.reached, deadline=ASK_S) as client:
                status = client.bus_status()
        except StorageError as error:
            held.append(f"{name} does not answer: {error}")
            continue
        broker = status["broker"]
        found = {key: broker[key] for key in ("streams", "in_flight_bytes")}
        found["clients besides this one"] = broker["clients"] - 1
        for service, counts in status["services"].items():
            for key in ("calls", "streams", "waiting"):
                found[f"{key} of {service}"] = counts[key]
        held += [f"{name}: {value} {key}" for key, value in found.items() if value]
    for pid in workers:
        kinds = open_files(pid, (scene.root, scene.full))
        held += [f"worker {pid}: {number} {kind}" for kind, number in kinds.items()]
    return held


def open_files(pid: int, roots: Iterable[Path]) -> Counter[str]:
    """Files of a store and segments of memory that a process has open."""
    found: Counter[str] = Counter()
    folder = Path(f"/proc/{pid}/fd")
    try:
        links = list(folder.iterdir())
    except OSError:
        return found
    for link in links:
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("/memfd:"):
            found["segments of memory"] += 1
        for root in roots:
            if target.startswith(f"{root}/"):
                found["files of the store"] += 1
    return found


def left_on_disk(root: Path) -> dict[str, int]:
    """Files of the driver's staging, by their ending: what the reaper will take."""
    found: Counter[str] = Counter()
    for path in (root / "~uploads").rglob("*"):
        if path.name == "~kept":
            found["kept"] += 1
        elif path.suffix in (".put", ".upload", ".claims"):
            found[path.suffix[1:]] += 1
    return dict(found)

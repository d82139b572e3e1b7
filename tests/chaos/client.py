"""A client process of a chaos run: `python -m chaos.client JSON`.

It works until TERM, then finishes the transfers under way, and notes what it has left
behind in its own process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from storagebus.drivers.errors import StorageError

from .calls import Calls
from .lane import PIECE_BYTES_MAX, Lane, Mix
from .ledger import Ledger
from .stores import AsyncStore, SyncStore, run_blocking

WARM_UPS_MAX = 10

SETTLE_S = 15.0
"""How long sockets that are closed may take to be gone: libzmq does it in a thread, on
a busy machine not soon."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a client process is told.

    Attributes:
        name: of the process; its objects lie below /NAME.
        endpoints: of all brokers.
        service: which.
        style: "sync" or "async".
        lanes: transfers at once.
        deadline_s: of every call.
        slack_s: how much longer a call may take.
        seed: of everything it does.
        ledger: path of its ledger.
        mix: see `Mix`.
    """

    name: str
    endpoints: Sequence[str]
    service: str
    style: str
    lanes: int
    deadline_s: float
    slack_s: float
    seed: int
    ledger: str
    mix: Mix = field(default_factory=Mix)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        given = json.loads(text)
        return cls(**{**given, "mix": Mix(**given["mix"])})


def main() -> None:
    """Run one client process."""
    task = Task.from_json(sys.argv[1])
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    ledger = Ledger(Path(task.ledger))
    calls = Calls(ledger, task.deadline_s, task.slack_s)
    run = _run_async if task.style == "async" else _run_sync
    run(task, calls, threading.Event(), warm_up=True)
    before = _held()
    run(task, calls, over, warm_up=False)
    after = _settled(before)
    for what, number in after.items():
        if number > before[what]:
            ledger.note("leak", what=f"{task.name}: {what}", number=number)
    ledger.note("end", name=task.name, before=before, after=after)


def _run_sync(
    task: Task, calls: Calls, over: threading.Event, *, warm_up: bool
) -> None:
    store = SyncStore(task.endpoints, task.service, task.deadline_s)
    if warm_up:
        run_blocking(_warm_up(store))
    else:
        threads = [
            threading.Thread(target=_blocking_lane, args=(lane, over), name=f"lane-{n}")
            for n, lane in enumerate(_lanes(task, store, calls))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)  # so that signals are heard
    run_blocking(store.close())


def _blocking_lane(lane: Lane, over: threading.Event) -> None:
    run_blocking(lane.run(over.is_set))


def _run_async(
    task: Task, calls: Calls, over: threading.Event, *, warm_up: bool
) -> None:
    async def work() -> None:
        store = AsyncStore(task.endpoints, task.service, task.deadline_s)
        if warm_up:
            await _warm_up(store)
        else:
            lanes = _lanes(task, store, calls)
            await asyncio.gather(*(lane.run(over.is_set) for lane in lanes))
        await store.close()

    asyncio.run(work())


async def _warm_up(store: SyncStore | AsyncStore) -> None:
    """An upload that is dropped, so that what a process opens once is open."""
    for _ in range(WARM_UPS_MAX):
        try:
            upload = await store.writer("/warm/up")
            await upload.write(bytes(PIECE_BYTES_MAX))
            await upload.cancel()
            return
        except StorageError:
            pass  # one that is struck already


def _lanes(task: Task, store: SyncStore | AsyncStore, calls: Calls) -> list[Lane]:
    return [
        Lane(
            store,
            calls,
            f"/{task.name}/{number}",
            random.Random(f"{task.seed}/{task.name}/{number}"),
            task.mix,
        )
        for number in range(task.lanes)
    ]


def _settled(before: dict[str, int]) -> dict[str, int]:
    """What this process holds when libzmq has closed what it was told to."""
    ends = time.monotonic() + SETTLE_S
    while True:
        after = _held()
        grown = any(number > before[what] for what, number in after.items())
        if not grown or time.monotonic() > ends:
            return after
        time.sleep(0.05)


def _held() -> dict[str, int]:
    """What this process holds, by kind."""
    gc.collect()
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
    }


if __name__ == "__main__":
    main()

"""The phases of `storagebus bench`: threads that do the same for a while, and what they
have come to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..drivers.errors import DeadlineExceededError
from .output import size_text
from .workload import Step, Tally, Workload

TICK_S = 0.1
"""How often the bar moves."""


@dataclass(frozen=True, slots=True)
class Group:
    """Threads that do the same.

    Attributes:
        name: as the table has it.
        threads: how many.
        step: what each repeats.
    """

    name: str
    threads: int
    step: Step


@dataclass(frozen=True, slots=True)
class Row:
    """What a group has come to.

    Attributes:
        name: of the group.
        threads: how many they were.
        seconds: how long.
        tally: what all of them have done.
    """

    name: str
    threads: int
    seconds: float
    tally: Tally

    def fields(self) -> dict[str, Any]:
        """The row for programs."""
        tally, latencies = self.tally, self.tally.latencies
        return {
            "name": self.name,
            "at_once": self.threads,
            "seconds": round(self.seconds, 3),
            "operations": tally.operations,
            "operations_per_s": round(tally.operations / self.seconds, 1),
            "bytes": tally.size,
            "bytes_per_s": round(tally.size / self.seconds),
            "p50_ms": _ms(latencies.percentile(0.50)),
            "p90_ms": _ms(latencies.percentile(0.90)),
            "p99_ms": _ms(latencies.percentile(0.99)),
            "longest_ms": _ms(latencies.longest),
        }

    def line(self) -> str:
        """The row for people."""
        said = self.fields()
        speed = size_text(said["bytes_per_s"]) + "/s" if said["bytes"] else "-"
        return (
            f"{self.name:<18} {self.threads:>7} {said['operations_per_s']:>10,.0f} "
            f"{speed:>13} {said['p50_ms']:>9.2f} {said['p90_ms']:>9.2f} "
            f"{said['p99_ms']:>9.2f} {said['longest_ms']:>9.2f}"
        )


HEADING = (
    f"{'':<18} {'at once':>7} {'a second':>10} {'bytes':>13} {'p50 ms':>9} "
    f"{'p90 ms':>9} {'p99 ms':>9} {'longest':>9}"
)


def phases(workload: Workload, streams: int, threads: int) -> list[list[Group]]:
    """All phases in their order; the groups of one run at the same time.

    Args:
        workload: what the steps are of.
        streams: large objects at once.
        threads: small operations at once.
    """
    few = max(1, streams // 2), max(1, threads // 4)
    return [
        [Group("write streams", streams, workload.write)],
        [Group("read streams", streams, workload.read)],
        [Group("put small", threads, workload.put)],
        [Group("get small", threads, workload.get)],
        [Group("stat, one by one", 1, workload.stat)],
        [
            Group("mix: write", few[0], workload.rewrite),
            Group("mix: read", few[0], workload.read),
            Group("mix: put small", few[1], workload.put),
            Group("mix: get small", few[1], workload.get),
            Group("mix: stat", 1, workload.stat),
        ],
    ]


def run(
    groups: list[Group],
    for_s: float,
    grace_s: float,
    tick: Callable[[float], None],
) -> list[Row]:
    """Run a phase.

    Args:
        groups: what its threads do.
        for_s: seconds that they do it.
        grace_s: seconds that the steps in hand have to end then.
        tick: told now and then how many seconds have gone by since the last time.

    Raises:
        DeadlineExceededError: a step did not end.
        BaseException: what a step raised.
    """
    stop = threading.Event()
    failures: list[BaseException] = []
    tallies = [[Tally() for _ in range(group.threads)] for group in groups]

    def work(group: Group, number: int, tally: Tally) -> None:
        try:
            while not stop.is_set():
                group.step(number, tally, stop.is_set)
        except BaseException as error:
            failures.append(error)
            stop.set()

    threads = [
        # A store that hangs must not hold the process.
        threading.Thread(target=work, args=(group, number, tally), daemon=True)
        for group, mine in zip(groups, tallies, strict=True)
        for number, tally in enumerate(mine)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    try:
        at = start
        while at - start < for_s and not stop.wait(min(TICK_S, start + for_s - at)):
            now = time.perf_counter()
            tick(now - at)
            at = now
    finally:
        # Even an interrupted phase is over before anybody removes what it stores.
        stop.set()
        ends = time.perf_counter() + grace_s
        for thread in threads:
            thread.join(max(0.0, ends - time.perf_counter()))
    seconds = time.perf_counter() - start
    if failures:
        raise failures[0]
    if any(thread.is_alive() for thread in threads):
        raise DeadlineExceededError(
            f"{groups[0].name}: a call has not returned {grace_s:g} s after the end"
        )
    return [
        Row(group.name, group.threads, seconds, _sum(mine))
        for group, mine in zip(groups, tallies, strict=True)
    ]


def _sum(tallies: list[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)

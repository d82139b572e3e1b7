"""Measuring: medians of several rounds, order alternated; memory and processor time of
whole processes."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

SAMPLE_S = 0.05


def ratio(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> tuple[float, float, float]:
    """Medians of both, and of the ratio ours / theirs within each round.

    The order changes from round to round, so that neither always meets the warmer
    machine; one round before the first is thrown away.
    """
    mine, yours, ratios = [], [], []
    ours(), theirs()
    for number in range(rounds):
        if number % 2:
            b, a = theirs(), ours()
        else:
            a, b = ours(), theirs()
        mine.append(a)
        yours.append(b)
        ratios.append(a / b)
    return statistics.median(mine), statistics.median(yours), statistics.median(ratios)


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_of_calls(call: Callable[[], object], count: int) -> float:
    """Median seconds of one call out of `count`."""
    return statistics.median(seconds(call) for _ in range(count))


def percentile(samples: list[float], part: float) -> float:
    """The value below which so large a part of the samples lies."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def at_once(work: Callable[[int], object], threads: int) -> float:
    """Seconds until `threads` threads have done their work; they begin together.

    Args:
        work: called in each thread with the thread's number.
    """
    go = threading.Barrier(threads + 1)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        go.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    go.wait()
    start = time.perf_counter()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - start


def threads_rate(call: Callable[[], object], threads: int, for_s: float) -> float:
    """Calls a second that `threads` threads make together."""
    done = [0] * threads

    def work(number: int) -> None:
        end = time.perf_counter() + for_s
        while time.perf_counter() < end:
            call()
            done[number] += 1

    took = at_once(work, threads)
    return sum(done) / took


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time that some processes have used, all their threads together."""
    # The clock of a process, as clock_getcpuclockid(3) makes it of the process's id.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional memory of some processes; those that have gone count nothing."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        line = next(line for line in text.splitlines() if line.startswith("Pss:"))
        total += int(line.split()[1]) * 1024
    return total


def peak_growth_bytes(pids: list[int], work: Callable[[], object]) -> int:
    """How much the memory of some processes grows at most while some work runs."""
    before = pss_bytes(pids)
    peak = before
    stop = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(SAMPLE_S):
            peak = max(peak, pss_bytes(pids))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        stop.set()
        watcher.join()
    return max(peak, pss_bytes(pids)) - before

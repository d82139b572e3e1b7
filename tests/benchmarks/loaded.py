"""Small calls while 8 bulk streams run: how long the slowest hundredth takes.

The streams are read in a process of their own: as fast as they come, which is the
heavier load on the faster side; then at a pace, so that both carry the same.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from blobs import MIB
from children import Child, serve
from figures import Figure, at_most
from grpc_peer import Channel
from measure import percentile, ratio, seconds
from scene import BLOB, SMALL, Scene, times

from storagebus.client import Client

STREAMS = 8
PACE_MIB = 40
"""A second, of each stream."""


def figures(scene: Scene) -> Iterator[Figure]:
    bus, rpc, sizes = scene.client, scene.peer, scene.sizes
    paced = f"{STREAMS} bulk streams of {PACE_MIB} MiB/s run"
    aims = {f"{STREAMS} bulk streams run": (0, at_most(0.5)), paced: (PACE_MIB, None)}
    with (
        Child(__file__, "bus", scene.ipc) as ours,
        Child(__file__, "grpc", scene.grpc[0]) as theirs,
    ):
        for load, (pace, aim) in aims.items():
            a, b, r = ratio(
                lambda pace=pace: p99(  # type: ignore[misc]
                    lambda: bus.stat(SMALL), ours, pace, sizes.for_s
                ),
                lambda pace=pace: p99(  # type: ignore[misc]
                    lambda: rpc.stat(SMALL), theirs, pace, sizes.for_s
                ),
                sizes.rounds,
            )
            yield Figure(f"p99 of stat while {load}, bus / gRPC", r, aim, times(a, b))


def p99(call: Callable[[], object], load: Child, pace: int, for_s: float) -> float:
    """Seconds of a call, under a load of streams of so many MiB/s; 0 for no limit."""
    load.ask(pace)
    end = time.perf_counter() + for_s
    samples = [seconds(call)]
    while time.perf_counter() < end:
        samples.append(seconds(call))
    load.ask()
    return percentile(samples, 0.99)


def pieces(client: Any, path: str) -> Iterator[bytes]:
    """An object's bytes, a MiB at a time."""
    if isinstance(client, Channel):
        yield from client.pieces(path)
        return
    with client.reader(path) as stream:
        while piece := stream.read(MIB):
            yield piece


def main(kind: str, address: str) -> None:
    client: Any = Client(address) if kind == "bus" else Channel(address)
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def read(pace: int) -> None:
        while not stop.is_set():
            start = time.perf_counter()
            for number, _ in enumerate(pieces(client, BLOB), 1):
                late = time.perf_counter() - start
                if stop.is_set() or (pace and stop.wait(max(0, number / pace - late))):
                    break

    def do(pace: int | None) -> int:
        if pace is None:
            stop.set()
            while threads:
                threads.pop().join()
        else:
            stop.clear()
            some = [threading.Thread(target=read, args=(pace,)) for _ in range(STREAMS)]
            threads.extend(some)
            for thread in threads:
                thread.start()
        return len(threads)

    serve(do)
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

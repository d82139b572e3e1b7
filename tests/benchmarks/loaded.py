"""Small calls while 8 bulk streams run: how long the slowest hundredth takes.

The streams are read in a process of their own, on both sides as fast as they come.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from children import Child, serve
from figures import Figure, at_most
from grpc_peer import Channel
from measure import percentile, ratio, seconds
from scene import BLOB, SMALL, Scene, drain, times

from storagebus.client import Client

STREAMS = 8


def figures(scene: Scene) -> Iterator[Figure]:
    bus, rpc, sizes = scene.client, scene.peer, scene.sizes
    with (
        Child(__file__, "bus", scene.ipc) as ours,
        Child(__file__, "grpc", scene.grpc[0]) as theirs,
    ):
        a, b, r = ratio(
            lambda: p99(lambda: bus.stat(SMALL), ours, sizes.for_s),
            lambda: p99(lambda: rpc.stat(SMALL), theirs, sizes.for_s),
            sizes.rounds,
        )
    what = f"p99 of stat while {STREAMS} bulk streams run, bus / gRPC"
    yield Figure(what, r, at_most(0.5), times(a, b))


def p99(call: Callable[[], object], load: Child, for_s: float) -> float:
    """Seconds of a call, under load."""
    load.ask("begin")
    end = time.perf_counter() + for_s
    samples = [seconds(call)]
    while time.perf_counter() < end:
        samples.append(seconds(call))
    load.ask("end")
    return percentile(samples, 0.99)


def main(kind: str, address: str) -> None:
    client: Any = Client(address) if kind == "bus" else Channel(address)
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def read() -> None:
        while not stop.is_set():
            drain(client) if kind == "bus" else client.read(BLOB)

    def do(what: str) -> int:
        if what == "begin":
            stop.clear()
            threads.extend(threading.Thread(target=read) for _ in range(STREAMS))
            for thread in threads:
                thread.start()
        else:
            stop.set()
            while threads:
                threads.pop().join()
        return len(threads)

    serve(do)
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The limit for small messages: libzmq's own proxy, between ROUTER and DEALER.

Messages of a `get_content`'s sizes, as many in flight, but nothing done with them: no
table of streams, no map unpacked, no file read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import zmq
from async_calls import IN_FLIGHT
from children import Child, say, serve
from figures import Figure
from measure import ratio
from scene import SMALL_BYTES, Scene, rates

REQUEST = b"q" * 120
ANSWER = [b"h" * 64, b"a" * SMALL_BYTES]
CALLS = str(Path(__file__).with_name("async_calls.py"))


def figures(scene: Scene) -> Iterator[Figure]:
    _ = scene.client
    sizes = scene.sizes
    front, back = f"ipc://{scene.folder}/front", f"ipc://{scene.folder}/back"
    with (
        Child(__file__, "proxy", front, back),
        Child(__file__, "worker", back),
        Child(__file__, "client", front) as theirs,
        Child(CALLS, "bus", scene.ipc) as ours,
    ):
        a, b, r = ratio(
            lambda: float(ours.ask(sizes.for_s)),
            lambda: float(theirs.ask(sizes.for_s)),
            sizes.rounds,
        )
    what = f"get_content of 1 KiB, async, {IN_FLIGHT} in flight, bus / bare zmq_proxy"
    yield Figure(what, r, None, rates(a, b))


def proxy(front: str, back: str) -> None:
    """zmq_proxy(3): the loop is libzmq's, in C."""
    router = zmq.Context.instance().socket(zmq.ROUTER)
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    router.bind(front)
    dealer.bind(back)
    say("ready")
    zmq.proxy(router, dealer)


def worker(back: str) -> None:
    """Answers everything at once."""
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    socket.connect(back)
    say("ready")
    while True:
        way = socket.recv_multipart()[:-1]
        socket.send_multipart([*way, *ANSWER])


def client(front: str) -> None:
    """Keeps so many in flight."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(front)

    def rate(for_s: float) -> float:
        start = time.perf_counter()
        done = 0
        for _ in range(IN_FLIGHT):
            socket.send(REQUEST)
        while time.perf_counter() - start < for_s:
            socket.recv_multipart()
            socket.send(REQUEST)
            done += 1
        took = time.perf_counter() - start
        for _ in range(IN_FLIGHT):
            socket.recv_multipart()
        return done / took

    serve(rate)


if __name__ == "__main__":
    kind, *words = sys.argv[1:]
    {"proxy": proxy, "worker": worker, "client": client}[kind](*words)

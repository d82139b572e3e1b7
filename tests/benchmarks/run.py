"""The figures of the README, as ratios measured in one run.

python tests/benchmarks/run.py            the table
python tests/benchmarks/run.py --json     for machines
python tests/benchmarks/run.py --quick    smaller data, for a look

Data lies on tmpfs, so that the disk is not what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import zmq
from grpc_peer import Channel
from measure import (
    median_of_calls,
    peak_growth_bytes,
    pss_bytes,
    ratio,
    seconds,
    threads_rate,
)

from storagebus.client import Client
from storagebus.drivers import StorageDriver, create

MIB = 1 << 20
PIECE = os.urandom(MIB)
HERE = Path(__file__).parent


class Bench:
    """One run: a bus, a gRPC server and an in-process driver over the same folder."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.blob_mib = 64 if quick else 1024
        self.rounds = 3 if quick else 5
        self.for_s = 1.0 if quick else 3.0
        self.upload_mib = 10 if quick else 100
        self.data = folder / "data"
        self.endpoint = f"ipc://{folder}/bus"
        self.grpc_address = f"unix://{folder}/grpc"
        self.local = create("filesystem", {"rootdirectory": str(self.data)})
        self.rows: list[tuple[str, str, str]] = []
        self.figures: dict[str, Any] = {}

    def run(self) -> None:
        with self._processes() as pids:
            self.client = Client(self.endpoint)
            self.peer = Channel(self.grpc_address)
            fill(self.local, "/blob", self.blob_mib)
            self.local.put_content("/small", os.urandom(1024))
            self.streams()
            self.small()
            self.memory(pids)
            self.peer.close()
            self.client.close()

    def streams(self) -> None:
        mib, client, local, peer = self.blob_mib, self.client, self.local, self.peer
        bus = self.speed(lambda: drain(client, "/blob"))
        own = self.speed(lambda: drain(local, "/blob"))
        rpc = self.speed(lambda: peer.read("/blob"))
        self.rate("read through the bus / in-process", bus, own)
        self.rate("read through the bus / direct gRPC", bus, rpc)
        bus = self.speed(lambda: fill(client, "/b", mib))
        own = self.speed(lambda: fill(local, "/o", mib))
        rpc = self.speed(lambda: peer.write("/g", (PIECE for _ in range(mib))))
        self.rate("write through the bus / in-process", bus, own)
        self.rate("write through the bus / direct gRPC", bus, rpc)

    def speed(self, work: Callable[[], object]) -> Callable[[], float]:
        """Bytes a second of some work that moves a blob."""
        return lambda: self.blob_mib * MIB / seconds(work)

    def small(self) -> None:
        get = self.client.get_content
        peer = self.peer.get_content
        ours, theirs, times = ratio(
            lambda: threads_rate(lambda: get("/small"), 32, self.for_s),
            lambda: threads_rate(lambda: peer("/small"), 32, self.for_s),
            self.rounds,
        )
        self.row(
            "get_content 1 KiB, 32 threads, bus / direct gRPC",
            f"{ours:,.0f} / {theirs:,.0f} a second",
            times,
        )
        ours, theirs, times = ratio(
            lambda: median_of_calls(lambda: self.client.stat("/small"), 1000),
            lambda: median_of_calls(lambda: self.peer.stat("/small"), 1000),
            self.rounds,
        )
        self.row(
            "serial stat, median time, bus / direct gRPC",
            f"{ours * 1e6:,.0f} / {theirs * 1e6:,.0f} µs",
            times,
        )

    def memory(self, pids: dict[str, list[int]]) -> None:
        everything = [pid for group in pids.values() for pid in group]
        uploads = subprocess_uploads(self.endpoint, self.upload_mib)
        growth = peak_growth_bytes([*everything, uploads.pid], lambda: finish(uploads))
        self.figures["uploads_growth_mib"] = growth / MIB
        name = f"memory growth, 32 uploads of {self.upload_mib} MiB, all processes"
        self.rows.append((name, "", f"{growth / MIB:.0f} MiB"))
        before = pss_bytes(pids["broker"])
        stalled = []
        for _ in range(500):
            stream = self.client.reader("/blob")
            stream.read(1)
            stalled.append(stream)
        time.sleep(2)
        growth = pss_bytes(pids["broker"]) - before
        self.figures["stalled_growth_mib"] = growth / MIB
        name = "memory growth of the broker, 500 readers that have stopped"
        self.rows.append((name, "", f"{growth / MIB:.1f} MiB"))
        for stream in stalled:
            stream.close()

    def rate(
        self, name: str, ours: Callable[[], float], theirs: Callable[[], float]
    ) -> None:
        mine, yours, times = ratio(ours, theirs, self.rounds)
        self.row(name, f"{mine / 1e9:.2f} / {yours / 1e9:.2f} GB/s", times)

    def row(self, name: str, measured: str, times: float) -> None:
        self.figures[name] = {"measured": measured, "ratio": round(times, 3)}
        self.rows.append((name, measured, f"{times:.2f}"))
        print(f"{name:62} {measured:28} {times:.2f}", file=sys.stderr, flush=True)

    @contextmanager
    def _processes(self) -> Iterator[dict[str, list[int]]]:
        up = [sys.executable, "-m", "storagebus.conf", "up", "--workers", "1"]
        up += ["--data", str(self.data), "--endpoint", self.endpoint]
        peer = [sys.executable, str(HERE / "grpc_peer.py"), str(self.data)]
        bus = subprocess.Popen(up, stdout=subprocess.PIPE, text=True)
        rpc = subprocess.Popen(
            [*peer, self.grpc_address], stdout=subprocess.PIPE, text=True
        )
        try:
            for process in (bus, rpc):
                assert process.stdout is not None
                if not process.stdout.readline():
                    raise SystemExit(f"{process.args} did not start")
            with Client(self.endpoint) as client:
                status = client.bus_status()
            workers = [
                worker["pid"]
                for service in status["services"].values()
                for worker in service["workers"]
            ]
            yield {"broker": [status["broker"]["pid"]], "workers": workers}
        finally:
            for process in (bus, rpc):
                process.terminate()
                process.wait(20)


def fill(driver: StorageDriver, path: str, mib: int) -> None:
    """Store an object of so many MiB."""
    with driver.writer(path) as upload:
        for _ in range(mib):
            upload.write(PIECE)
        upload.commit()


def drain(driver: StorageDriver, path: str) -> int:
    """Read an object to its end."""
    count = 0
    with driver.reader(path) as stream:
        while piece := stream.read(MIB):
            count += len(piece)
    return count


UPLOADS = """
import sys, threading
from storagebus.client import Client
client = Client(sys.argv[1])
client.put_content("/warm", b"")
print("warm", flush=True)
sys.stdin.readline()
piece = bytes(range(256)) * 4096
def upload(number):
    with client.writer(f"/upload/{number}") as writer:
        for _ in range(int(sys.argv[2])):
            writer.write(piece)
        writer.commit()
threads = [threading.Thread(target=upload, args=(n,)) for n in range(32)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("done", flush=True)
sys.stdin.readline()
"""


def subprocess_uploads(endpoint: str, mib: int) -> subprocess.Popen[str]:
    """A client process that has connected, and uploads when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", UPLOADS, endpoint, str(mib)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "warm\n"
    return process


def finish(process: subprocess.Popen[str]) -> None:
    """Let it upload, and wait for it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    if process.stdout.readline() != "done\n":
        raise SystemExit("the uploads failed")
    process.communicate("end\n")


def main() -> None:
    """Run, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true", help="for machines")
    arguments.add_argument("--quick", action="store_true", help="smaller data")
    options = arguments.parse_args()
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="sb-bench-", dir=base))
    try:
        bench = Bench(folder, options.quick)
        bench.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, libzmq "
        f"{zmq.zmq_version()}, gRPC {grpc.__version__}, "
        f"{time.strftime('%Y-%m-%d')}"
    )
    if options.json:
        print(json.dumps({"machine": machine, "figures": bench.figures}))
        return
    print(f"\n{machine}\n\n| what | measured | ratio or growth |\n|---|---|---|")
    for row in bench.rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()

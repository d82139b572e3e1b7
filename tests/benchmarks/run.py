"""The figures of the README, as ratios measured in one run.

python tests/benchmarks/run.py                  the table
python tests/benchmarks/run.py --markdown       as it stands in the README
python tests/benchmarks/run.py --json           for machines
python tests/benchmarks/run.py --rows tcp cpu   some rows only
python tests/benchmarks/run.py --quick          smaller data, for a look

Every ratio is the median of several rounds, in which both sides follow one another in
an order that alternates. No row passes or fails: machines differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import async_calls
import calls
import cpu
import grpc
import http_files
import idle
import lanes
import loaded
import losses
import many_streams
import proxy
import serial
import small_files
import stalled
import streams
import tcp
import uploads
import zmq
from figures import Figure, line, markdown
from scene import QUICK, SMOKE, Scene, Sizes

from storagebus.broker.filelimit import raise_file_limit

ROWS: dict[str, Callable[[Scene], Iterator[Figure]]] = {
    "streams": streams.figures,
    "lanes": lanes.figures,
    "tcp": tcp.figures,
    "calls": calls.figures,
    "async": async_calls.figures,
    "serial": serial.figures,
    "loaded": loaded.figures,
    "files": small_files.figures,
    "uploads": uploads.figures,
    "stalled": stalled.figures,
    "idle": idle.figures,
    "many": many_streams.figures,
    "losses": losses.figures,
    "cpu": cpu.figures,
    "proxy": proxy.figures,
    "http": http_files.figures,
}
SIZES = {"full": Sizes(), "quick": QUICK, "smoke": SMOKE}


def main() -> None:
    """Run, and print the table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW")
    arguments.add_argument("--rounds", type=int, help="of each ratio")
    arguments.add_argument("--workers", type=int, default=1, help="processes")
    arguments.add_argument(
        "--quick", dest="size", action="store_const", const="quick", default="full"
    )
    arguments.add_argument(
        "--smoke",
        dest="size",
        action="store_const",
        const="smoke",
        help="only to see that every row runs",
    )
    arguments.add_argument("--json", action="store_true", help="for machines")
    arguments.add_argument("--markdown", action="store_true", help="for a page")
    options = arguments.parse_args()
    sizes = SIZES[options.size]
    if options.rounds:
        sizes = replace(sizes, rounds=options.rounds)
    found = []
    start = time.monotonic()
    for figure in measured(options.rows or list(ROWS), sizes, options.workers):
        found.append(figure)
        if not options.json and not options.markdown:
            print(line(figure), flush=True)
        else:
            print(line(figure), file=sys.stderr, flush=True)
    took = f"{time.monotonic() - start:.0f} s"
    if options.json:
        rows = [figure.fields() for figure in found]
        print(json.dumps({"machine": machine(), "size": options.size, "rows": rows}))
    elif options.markdown:
        print(f"{markdown(found)}\n\n{machine()}.")
    else:
        print(f"\n{machine()}; {took}")


def measured(names: list[str], sizes: Sizes, workers: int) -> Iterator[Figure]:
    """The figures of some rows, one after the other."""
    raise_file_limit()
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="sb-bench-", dir=base))
    scene = Scene(folder, sizes, workers)
    try:
        for name in names:
            yield from ROWS[name](scene)
    finally:
        scene.close()
        shutil.rmtree(folder, ignore_errors=True)


def machine() -> str:
    """Where and when this was measured."""
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, libzmq {zmq.zmq_version()}, "
        f"gRPC {grpc.__version__}"
    )


if __name__ == "__main__":
    main()

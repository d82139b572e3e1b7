"""A worker that is cut off in the middle of a call must not finish it when the caller
has long had it done elsewhere, and written something newer."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import wait_until
from real_bus import RealBus

from storagebus.client import Client

pytestmark = pytest.mark.slow

SLOW = """
import os, sys, time
from pathlib import Path
from storagebus.workers.worker import run_worker

endpoint, root, folder = sys.argv[1:]
folder = Path(folder)
fsync = os.fsync

def slow(fd):
    fsync(fd)
    (folder / "waiting").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)

os.fsync = slow
run_worker(endpoint, "default", "filesystem", {"rootdirectory": root})
"""
"""A worker on a disk that takes its time, until there is a file `go`."""
LOST_S_MAX = 20.0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[RealBus, Path, subprocess.Popen[bytes]]]:
    """A bus whose only worker is the slow one, and what it waits for."""
    root = tmp_path / "root"
    with RealBus("filesystem", {"rootdirectory": str(root)}, workers=0) as bus:
        words = [bus.brokers[0].workers, str(root), str(tmp_path)]
        worker = subprocess.Popen([sys.executable, "-c", SLOW, *words])
        bus.brokers[0].wait_for_workers(1)
        yield bus, tmp_path, worker
        (tmp_path / "go").touch()
        worker.send_signal(signal.SIGCONT)
        worker.terminate()
        worker.wait(20)


def test_a_put_that_was_done_elsewhere(
    scene: tuple[RealBus, Path, subprocess.Popen[bytes]],
) -> None:
    bus, folder, worker = scene
    with Client(bus.endpoint, deadline=30.0) as client:
        first = threading.Thread(target=client.put_content, args=("/a", b"first"))
        first.start()
        assert wait_until((folder / "waiting").exists, 10)
        worker.send_signal(signal.SIGSTOP)
        bus.start_worker()
        first.join(LOST_S_MAX)
        assert not first.is_alive(), "the put did not go on elsewhere"
        client.put_content("/a", b"second")
        (folder / "go").touch()
        worker.send_signal(signal.SIGCONT)
        staging = folder / "root" / "~uploads"
        assert wait_until(lambda: not list(staging.glob("~*.put")), 10)
        time.sleep(0.5)
        assert client.get_content("/a") == b"second"

"""TERM ends broker and worker with 0 at any moment, as first process too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from storagebus.client import Client
from storagebus.conf.bus import wait_ready
from storagebus.conf.termination import ends_on_term

WAIT_S = 30.0
CONF = [sys.executable, "-m", "storagebus.conf"]
# A container's first process: signals that have no handler do not reach it.
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
if os.geteuid() != 0:
    CONTAINER += ["--user", "--map-root-user"]


def test_the_handler_lasts_as_long_as_it_says() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, ends_on_term():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 0
    assert signal.getsignal(signal.SIGTERM) is before


SLOW = """
import sys, time
from storagebus.conf.main import main
from storagebus.drivers import register
def make(**_):
    print("making", flush=True)
    time.sleep(60)
register("slow", make)
sys.exit(main(["worker", "s", "--endpoint", "ipc:///nowhere/w", "--driver", "slow"]))
"""


def test_a_driver_that_takes_long_to_make() -> None:
    with subprocess.Popen(
        [*CONTAINER, sys.executable, "-c", SLOW], stdout=subprocess.PIPE
    ) as outside:
        assert outside.stdout is not None
        assert outside.stdout.readline() == b"making\n"
        os.kill(first_process(outside), signal.SIGTERM)
        assert outside.wait(WAIT_S) == 0


def first_process(outside: subprocess.Popen[bytes]) -> int:
    (child,) = psutil.Process(outside.pid).children()
    return child.pid


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A broker and a worker, each the first process of its own."""
    doors = f"ipc://{tmp_path}/c", f"ipc://{tmp_path}/w"
    root = f'{{"rootdirectory": "{tmp_path}/root"}}'
    served = ["--driver", "filesystem", "--parameters", root]
    commands = [
        ["broker", "--clients", doors[0], "--workers", doors[1]],
        ["worker", "default", "--endpoint", doors[1], *served],
    ]
    started = [subprocess.Popen([*CONTAINER, *CONF, *words]) for words in commands]
    yield started
    for process in started:
        process.kill()
        process.wait(WAIT_S)


def test_a_worker_in_a_container_drains(
    containers: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    broker, worker = containers
    with Client(f"ipc://{tmp_path}/c", deadline=WAIT_S) as client:
        found = wait_ready(client, WAIT_S, {"default": 1})
        assert found["broker"]["pid"] == 1
        with client.writer("/a") as upload:
            upload.write(b"first half, ")
            os.kill(first_process(worker), signal.SIGTERM)
            deadline = time.monotonic() + WAIT_S
            while states(client) != ["draining"]:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            # What has begun is finished.
            upload.write(b"second half")
            upload.commit()
        assert worker.wait(WAIT_S) == 0
        assert (tmp_path / "root" / "a").read_bytes() == b"first half, second half"
    os.kill(first_process(broker), signal.SIGTERM)
    assert broker.wait(WAIT_S) == 0


def states(client: Client) -> list[str]:
    workers = client.bus_status()["services"]["default"]["workers"]
    return [each["state"] for each in workers]

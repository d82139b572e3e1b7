"""A bus under the real supervisord, from start to stop.

The tests of this file share one supervisord and run in order; the last one stops it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

import psutil
import pytest
from storage_load import StorageLoad
from supervisor.xmlrpc import SupervisorTransport

from storagebus.client import Client
from storagebus.conf.bus import wait_ready
from storagebus.conf.control import Supervisord
from storagebus.drivers.errors import DeadlineExceededError

WAIT_S = 60.0
REPLACED_S_MAX = 60.0
"""On whatever machine; the 20 s that users are promised are test_watch's."""
CONF = [sys.executable, "-m", "storagebus.conf"]
WORKERS = {"files": 2, "acme": 1}
PASSWORD = "hush-hush"

# A driver of somebody's own: a wrapper, a call that hangs, a process of its own.
ACME = """\
#!/bin/sh
exec {python} {folder}/registry-storage-acme.py "$@"
"""
ACME_PROGRAM = """\
import subprocess, time
from storagebus.drivers.filesystem import FilesystemDriver
from storagebus.workers import parameters, serve

given = parameters()
assert given.pop("password") == "hush-hush"
helper = subprocess.Popen(["sleep", "600"])

class AcmeDriver(FilesystemDriver):
    name = "acme"
    def stat(self, path):
        if path == "/hang":
            time.sleep(600)
        return super().stat(path)
    def close(self):
        helper.kill()
        super().close()

serve(AcmeDriver(**given))
"""

CONFIGURATION = """
[services.files]
driver = "filesystem"
workers = 2
parameters = {{ rootdirectory = "{folder}/files" }}
[services.acme]
driver = "acme"
[services.acme.parameters]
rootdirectory = "{folder}/acme"
password = {{ env = "ACME_PASSWORD" }}
"""


class Supervised:
    """A directory, and the supervisord that runs in it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sb"))
        self.endpoint = f"ipc://{self.folder}/run/clients"
        self.conf = self.folder / "supervisord.conf"
        config = self.folder / "bus.toml"
        config.write_text(CONFIGURATION.format(folder=self.folder))
        program = self.folder / "bin" / "registry-storage-acme"
        program.parent.mkdir()
        program.write_text(ACME.format(python=sys.executable, folder=self.folder))
        program.chmod(0o755)
        (self.folder / "registry-storage-acme.py").write_text(ACME_PROGRAM)
        self.env = {
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "STORAGEBUS_ENDPOINT": self.endpoint,
        }
        words = ["conf", "supervisor", "--config", str(config)]
        words += ["--directory", str(self.folder / "run")]
        self.conf.write_bytes(self.storagebus(*words))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", self.conf],
            env={**self.env, "ACME_PASSWORD": PASSWORD},
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
        )
        url = f"unix://{self.folder}/run/supervisor.sock"
        self.rpc: Any = ServerProxy("http://x", SupervisorTransport(None, None, url))
        self.control = Supervisord(url)

    def storagebus(self, *args: str) -> bytes:
        """A command, as an operator types it."""
        done = subprocess.run([*CONF, *args], env=self.env, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def pids(self) -> dict[str, int]:
        """The processes that run, by supervisord's name."""
        infos = self.rpc.supervisor.getAllProcessInfo()
        return {f"{i['group']}:{i['name']}": i["pid"] for i in infos if i["pid"]}

    def wait(self) -> dict[str, Any]:
        """Wait until everybody serves; the broker's status."""
        with Client(self.endpoint, deadline=1.0) as client:
            return dict(wait_ready(client, WAIT_S, WORKERS))

    def close(self) -> None:
        """Whatever still runs."""
        if self.process.poll() is None:
            left = psutil.Process(self.process.pid).children(recursive=True)
            for process in [self.process, *left]:
                process.kill()
        self.process.wait(WAIT_S)
        self.rpc("close")()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def bus() -> Iterator[Supervised]:
    supervised = Supervised()
    try:
        supervised.wait()
        yield supervised
    finally:
        supervised.close()


def until(holds: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; what is dead may wait for somebody to notice."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_everything_runs_and_says_what_it_is(bus: Supervised) -> None:
    bus.storagebus("ready", "--service", "files", "--workers", "2", "--timeout", "20")
    pids = bus.pids()
    assert sorted(pids) == [
        "storagebus-broker:storagebus-broker",
        "storagebus-health-listener:storagebus-health-listener",
        "storagebus-worker-acme:worker-acme-1",
        "storagebus-worker-files:worker-files-1",
        "storagebus-worker-files:worker-files-2",
    ]
    for name, pid in pids.items():
        line = " ".join(psutil.Process(pid).cmdline())
        assert ("broker" in line) == ("broker" in name), line
        assert ("worker" in line) == ("worker-files" in name), line
    assert "registry-storage-acme" in " ".join(
        psutil.Process(pids["storagebus-worker-acme:worker-acme-1"]).cmdline()
    )
    found = bus.wait()
    assert found["broker"]["pid"] == pids["storagebus-broker:storagebus-broker"]
    names = {each["name"] for each in found["services"]["files"]["workers"]}
    assert names == {"worker-files-1", "worker-files-2"}
    mode = (bus.folder / "run" / "supervisor.sock").stat().st_mode
    assert mode & 0o077 == 0


def test_secrets_stay_where_they_are(bus: Supervised) -> None:
    assert PASSWORD not in bus.conf.read_text()
    for process in psutil.Process(bus.process.pid).children(recursive=True):
        assert PASSWORD not in " ".join(process.cmdline())
    for log in (bus.folder / "run").glob("*.log*"):
        assert PASSWORD not in log.read_text()


def test_objects_through_both_services(bus: Supervised) -> None:
    for service in WORKERS:
        with Client(bus.endpoint, service=service, deadline=WAIT_S) as client:
            client.put_content("/a/b", service.encode())
            assert client.get_content("/a/b") == service.encode()
            assert (bus.folder / service / "a" / "b").is_file()


@pytest.mark.slow
def test_any_program_is_killed_under_load(bus: Supervised) -> None:
    with StorageLoad(bus.endpoint, "files") as load:
        load.wait_for(20)
        for name, pid in bus.pids().items():
            if "acme" in name:
                continue
            os.kill(pid, signal.SIGKILL)
            until(lambda name=name, pid=pid: bus.pids().get(name, pid) != pid)
            bus.wait()
            load.wait_for(20)
    assert load.failures == []
    with Client(bus.endpoint, service="files") as client:
        load.verify(client)


@pytest.mark.slow
def test_a_pool_is_restarted_one_by_one_without_a_failed_call(bus: Supervised) -> None:
    before = bus.pids()
    pool = [name for name in before if name.startswith("storagebus-worker-files:")]
    with StorageLoad(bus.endpoint, "files", deadline_s=10) as load:
        load.wait_for(20)
        for name in pool:
            assert bus.rpc.supervisor.stopProcess(name)
            assert bus.rpc.supervisor.startProcess(name, False)
            bus.storagebus("ready", "--service", "files", "--workers", "2")
            load.wait_for(20)
    assert load.failures == []
    after = bus.pids()
    assert all(after[name] != before[name] for name in pool)
    assert {n: p for n, p in after.items() if n not in pool} == {
        n: p for n, p in before.items() if n not in pool
    }


@pytest.mark.slow
def test_a_worker_that_was_drained_is_succeeded(bus: Supervised) -> None:
    with StorageLoad(bus.endpoint, "files", deadline_s=10) as load:
        load.wait_for(20)
        for worker in bus.wait()["services"]["files"]["workers"]:
            bus.storagebus("drain", worker["id"])
            until(lambda gone=worker["pid"]: gone not in bus.pids().values())
            bus.storagebus("ready", "--service", "files", "--workers", "2")
            load.wait_for(20)
    assert load.failures == []


@pytest.mark.slow
def test_what_is_stuck_is_replaced(bus: Supervised) -> None:
    """A worker that is stopped, and one whose driver does not let go of a call."""
    before = bus.pids()
    stopped = "storagebus-worker-files:worker-files-1"
    hung = "storagebus-worker-acme:worker-acme-1"
    hung_group = psutil.Process(before[hung]).children()
    assert hung_group
    began: dict[str, float] = {}
    took: dict[str, float] = {}

    def replaced(name: str) -> bool:
        now = time.monotonic()
        if bus.pids().get(name, before[name]) == before[name]:
            assert now - began[name] < REPLACED_S_MAX
            return False
        took.setdefault(name, now - began[name])
        return True

    with StorageLoad(bus.endpoint, "files") as load:
        load.wait_for(20)
        os.kill(before[stopped], signal.SIGSTOP)
        began[stopped] = time.monotonic()
        with Client(bus.endpoint, service="acme", deadline=1.0) as client:
            with pytest.raises(DeadlineExceededError):
                client.stat("/hang")
            began[hung] = time.monotonic()
        until(lambda: all([replaced(stopped), replaced(hung)]))
        bus.wait()
        load.wait_for(20)
    assert load.failures == []
    # Only those two; with the driver went what it had started.
    after = bus.pids()
    assert {name for name in after if after[name] != before[name]} == {stopped, hung}
    until(lambda: not any(map(is_alive, hung_group)))
    log = (bus.folder / "run" / "health-listener.log").read_text()
    assert "worker-files-1 " in log
    assert "held on to a call" in log


def test_a_process_that_is_not_the_one_is_not_killed(bus: Supervised) -> None:
    processes = {process.name: process for process in bus.control.processes()}
    assert "storagebus-health-listener:storagebus-health-listener" not in processes
    assert all(process.is_up for process in processes.values())
    worker = processes["storagebus-worker-files:worker-files-2"]
    assert worker.service == "files"
    assert not bus.control.kill(type(worker)(worker.name, "files", os.getpid(), True))
    assert bus.pids()[worker.name] == worker.pid


def test_clean_stop_leaves_nothing(bus: Supervised) -> None:
    processes = psutil.Process(bus.process.pid).children(recursive=True)
    assert len(processes) >= 5
    bus.process.terminate()
    assert bus.process.wait(WAIT_S) == 0
    assert [process for process in processes if is_alive(process)] == []
    log = (bus.folder / "run" / "supervisord.log").read_text()
    stopped = [
        line.split("stopped: ")[1] for line in log.splitlines() if "stopped: " in line
    ]
    last = stopped[-5:]
    assert last[0].startswith("storagebus-health-listener (exit status 0)")
    assert all("(exit status 0)" in line for line in last)
    assert last[-1].startswith("storagebus-broker ")
    assert sorted((bus.folder / "run").glob("*.pid")) == []

import os
import subprocess
import sys
from typing import Any

import pytest

from storagebus.conf.memory import Memory, of_children, of_service, resident

SLEEPS = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture
def worker() -> Any:
    """A process whose command line says that it is a worker."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPS, "worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.communicate()


def test_it_grows_with_what_is_held() -> None:
    watched = Memory()
    watched.watch({os.getpid(): "me"})
    held = bytearray(os.urandom(64 << 20))
    watched.look()
    del held
    (seen,) = watched.fields()
    assert (seen["process"], seen["pid"]) == ("me", os.getpid())
    assert seen["peak"] - seen["before"] > 32 << 20


def test_a_process_that_is_gone_is_left_out() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert resident(gone.pid) is None
    watched = Memory()
    watched.watch({gone.pid: "gone", os.getpid(): "me"})
    watched.look()
    assert [seen["process"] for seen in watched.fields()] == ["me"]


def test_a_service_s_processes_are_those_that_are_ours(worker: Any) -> None:
    status = {
        "broker": {"pid": 1},  # another host's broker; here it is something else
        "services": {"a": {"workers": [{"pid": worker.pid}, {"pid": 2**22 + 1}]}},
    }
    assert of_service(status, "a") == {worker.pid: "worker"}
    assert of_service({"broker": {}, "services": {}}, "a") == {}


def test_children_are_known_by_the_name_of_their_executable() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPS, "registry-storage-x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert of_children(os.getpid()).get(process.pid) == "child"
    finally:
        process.communicate()


def test_those_that_come_later_are_numbered(worker: Any) -> None:
    watched = Memory()
    watched.watch({os.getpid(): "child"})
    watched.watch({worker.pid: "child", os.getpid(): "child"})
    assert [seen["process"] for seen in watched.fields()] == ["child", "child 2"]

"""Where processes of managed children come from and go to: none is left, ever."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from programs import ACME, Programs, is_running, secrets_seen, wait_until

from storagebus.client.child import ChildDriver
from storagebus.drivers import create
from storagebus.drivers.errors import InvalidStateError

PARENT = """
import gc, json, os, signal, sys, time
from storagebus.client import household
from storagebus.drivers import create, errors

household.RUNTIME_PARENT = sys.argv[1]
given = {"rootdirectory": sys.argv[2], "grandchild": True}

def main():
    driver = create("acme", given, pool={"workers": 2})
    driver.put_content("/a", b"1")
    while len(driver.pool.pids()) < 2:
        time.sleep(0.01)
    tell(pids=driver.pool.pids())
    END

def tell(**facts):
    print(json.dumps(facts), flush=True)

main()
"""
"""A program that uses a driver, and ends as the test says."""


@pytest.fixture
def acme(programs: Programs) -> Programs:
    programs.add("acme", ACME)
    return programs


@pytest.fixture
def parents(acme: Programs, tmp_path: Path) -> Iterator[Any]:
    """Starts programs that end in a given way."""
    runtime = Path(tempfile.mkdtemp(prefix="sb-"))
    started: list[subprocess.Popen[str]] = []

    def start(end: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        program = tmp_path / "parent.py"
        body = dedent(end).strip().replace("\n", "\n    ")
        program.write_text(PARENT.replace("END", body))
        words = [sys.executable, str(program), str(runtime), str(tmp_path / "store")]
        pipe = subprocess.PIPE
        parent = subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True)
        started.append(parent)
        assert parent.stdout is not None
        return parent, json.loads(parent.stdout.readline())

    yield start
    for parent in started:
        parent.kill()
        parent.wait()
        for stream in (parent.stdout, parent.stderr):
            assert stream is not None
            stream.close()
    acme.await_none()
    assert wait_until(lambda: not [*runtime.iterdir()], 10), [*runtime.iterdir()]
    runtime.rmdir()


@pytest.mark.parametrize(
    "end",
    [
        "sys.exit(0)",
        "os._exit(0)",
        "raise RuntimeError('on purpose')",
        "driver.close()",
        "driver.close(); driver.close()",
        "del driver; gc.collect()",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.abort()",
        "os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_nothing_is_left_however_the_parent_ends(
    parents: Any, acme: Programs, end: str
) -> None:
    parent, told = parents(end)
    _, errors = parent.communicate(timeout=20)
    acme.await_none()
    # A process that is ending has no command line any more, and is not gone yet.
    assert wait_until(lambda: not any(map(is_running, told["pids"])), 10)
    if "exit" in end or "close" in end:
        assert parent.returncode == 0
        assert "Traceback" not in errors


def test_nothing_is_left_though_a_forked_process_lives_on(
    parents: Any, acme: Programs
) -> None:
    parent, told = parents(
        """
        forked = os.fork()
        if forked:
            tell(forked=forked)
        time.sleep(60)
        """
    )
    forked = json.loads(parent.stdout.readline())["forked"]
    parent.kill()
    parent.wait()
    try:
        assert wait_until(lambda: not any(map(is_running, told["pids"])), 10)
        acme.await_none()
        assert is_running(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


def test_children_that_stand_still_do_not_outlive_the_parent(
    parents: Any, acme: Programs
) -> None:
    parent, told = parents("time.sleep(60)")
    for pid in told["pids"]:
        os.kill(pid, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    acme.await_none()


def test_a_forked_process_is_told_to_make_its_own(parents: Any) -> None:
    parent, _ = parents(
        """
        if os.fork() == 0:
            try:
                driver.stat("/a")
            except errors.InvalidStateError as error:
                driver.close()
                with create("acme", given) as own:
                    tell(error=str(error), own=own.get_content("/a").decode())
            os._exit(0)
        os.wait()
        tell(after=driver.get_content("/a").decode())
        driver.close()
        """
    )
    in_child, after = map(json.loads, parent.stdout.read().splitlines())
    assert f"belong to process {parent.pid}" in in_child["error"]
    assert "create the driver anew" in in_child["error"]
    assert in_child["own"] == after["after"] == "1"
    assert parent.wait(10) == 0


def test_two_drivers_of_the_same_name(acme: Programs, tmp_path: Path) -> None:
    one = create("acme", {"rootdirectory": str(tmp_path / "1")})
    two = create("acme", {"rootdirectory": str(tmp_path / "2")})
    one.put_content("/a", b"one")
    two.put_content("/a", b"two")
    assert (one.get_content("/a"), two.get_content("/a")) == (b"one", b"two")
    one.close()
    assert two.get_content("/a") == b"two"
    two.close()
    with pytest.raises(InvalidStateError, match="closed"):
        two.get_content("/a")


def test_a_driver_that_nobody_holds_ends_but_not_before_its_readers(
    acme: Programs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver = create("acme", {"rootdirectory": str(tmp_path / "1")})
    data = os.urandom(5_000_000)
    driver.put_content("/a", data)
    reader = driver.reader("/a")
    del driver
    gc.collect()
    time.sleep(1.2)  # more than two beats
    assert acme.running()
    assert reader.read() == data
    reader.close()
    del reader
    gc.collect()
    acme.await_none()
    assert "driver acme was not closed" in caplog.text


def test_secrets_are_seen_nowhere(
    acme: Programs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "correct-horse-battery"
    os.environ["ACME_SECRET"] = secret
    try:
        caplog.set_level("DEBUG")
        given = {"rootdirectory": str(tmp_path), "secret": secret, "grandchild": True}
        with create("acme", given) as driver:
            assert isinstance(driver, ChildDriver)
            driver.put_content("/a", b"1")
            pids = [process.pid for process in acme.running()]
            assert set(driver.pool.pids()) < set(pids)  # the grandchild is there too
            assert secrets_seen(secret, pids) == []
            assert secrets_seen(str(tmp_path), pids) != []  # that is how it is seen
        assert secret not in caplog.text
        assert secret not in repr(driver.__dict__)
    finally:
        del os.environ["ACME_SECRET"]

"""Starting, signalling and reaping one process, by its pidfd."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storagebus.workers import descriptors
from storagebus.workers.children import Ending
from storagebus.workers.process import Process

ENV = dict(os.environ)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe of which the test closes the writing end."""
    ends = os.pipe()
    yield ends
    os.close(ends[0])


def run(script: str, **given: Any) -> Process:
    return Process(["/bin/sh", "-c", script], ENV, **given)


def end(process: Process) -> Ending:
    assert process.wait(10)
    return process.reap()


def test_it_tells_exit_codes_from_signals() -> None:
    assert end(run("exit 7")) == Ending(code=7)
    assert end(run("kill -SEGV $$")) == Ending(signal=signal.SIGSEGV)


def test_it_leads_a_session_of_its_own() -> None:
    process = run("sleep 60")
    assert os.getsid(process.pid) == process.pid
    assert os.getpgid(process.pid) == process.pid
    assert not process.wait(0)
    process.send(signal.SIGTERM)
    assert end(process) == Ending(signal=signal.SIGTERM)


def test_reaping_is_repeatable_and_signals_afterwards_reach_nobody() -> None:
    process = run("exit 3")
    first = end(process)
    assert process.reap() is first
    assert process.is_over()
    process.send(signal.SIGKILL)
    process.send_group(signal.SIGKILL)


def test_grandchildren_die_when_their_leader_has_ended(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    process = run("sleep 60 & exit 0", stdout=writing)
    os.close(writing)
    assert end(process) == Ending(code=0)
    assert os.read(reading, 1) == b""  # the sleeper held it


def test_a_group_can_be_killed_as_a_whole(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    process = run("sleep 60 & echo up; wait", stdout=writing)
    os.close(writing)
    assert os.read(reading, 10) == b"up\n"
    process.send_group(signal.SIGKILL)
    assert end(process) == Ending(signal=signal.SIGKILL)
    assert os.read(reading, 1) == b""


def test_an_older_kernel_has_the_group_killed_by_its_number(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = signal.pidfd_send_signal

    def without_flags(fd: int, number: int, info: None = None, flags: int = 0) -> None:
        if flags:
            raise OSError(errno.EINVAL, "no flags here")
        real(fd, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", without_flags)
    reading, writing = pipe
    process = run("sleep 60 & exit 0", stdout=writing)
    os.close(writing)
    assert end(process) == Ending(code=0)
    assert os.read(reading, 1) == b""


def test_an_exit_status_that_somebody_else_took_is_said_to_be_unknown(
    pipe: tuple[int, int],
) -> None:
    reading, writing = pipe
    process = run("sleep 60 & exit 5", stdout=writing)
    os.close(writing)
    os.waitpid(process.pid, 0)  # what a host's SIGCHLD handler may do
    ending = end(process)
    assert ending.code is None
    assert "taken by something else" in ending.describe()
    assert os.read(reading, 1) == b""  # and the group is gone all the same


def test_a_host_that_ignores_sigchld_still_learns_of_the_end() -> None:
    script = (
        "import signal, os; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from storagebus.workers.process import Process\n"
        "reading, writing = os.pipe()\n"
        "process = Process(['/bin/sh', '-c', 'read _; exit 5'], {}, stdin=reading)\n"
        "os.close(writing)\n"
        "assert process.wait(10)\n"
        "print(process.reap().describe())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "taken by something else" in told.stdout


def test_one_that_is_reaped_as_soon_as_it_is_started_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the kernel, say: SIGCHLD is ignored, and the program is a short one."""

    def reaped(pid: int) -> int:
        os.waitpid(pid, 0)
        return os.pidfd_open(pid)

    monkeypatch.setattr(descriptors, "open_pidfd", reaped)
    with pytest.raises(OSError, match=r"/bin/sh ended, .* taken by something else"):
        run("exit 5")


def test_it_inherits_only_what_it_is_passed(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    secret, other = os.pipe()
    os.set_inheritable(secret, True)  # somebody else's carelessness
    process = run("ls /proc/self/fd", stdout=writing, pass_fds=[other])
    os.close(writing)
    end(process)
    listed = os.read(reading, 1_000).decode().split()
    os.close(secret)
    os.close(other)
    assert str(other) in listed
    assert str(secret) not in listed


@pytest.mark.parametrize("name", ["there-is-no-such-program", "plain-file"])
def test_a_program_that_cannot_run_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain-file").write_text("not a program")
    with pytest.raises(OSError):
        Process([str(tmp_path / name)], ENV)

"""The parent's side of the spawn contract, with a child that reports what it got."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storagebus.workers.children import Ending, ProcessSpec, Readiness
from storagebus.workers.output import OutputLog
from storagebus.workers.spawn import Child, child_environment

SECRET = "correct horse battery staple"

REPORT = """
import json, os, sys
from pathlib import Path
from storagebus.workers.lifeline import descriptor, read_line
line = read_line(descriptor())
process = Path("/proc/self")
Path(sys.argv[1]).write_text(json.dumps({
    "line": json.loads(line),
    "cmdline": (process / "cmdline").read_text(),
    "environ": (process / "environ").read_text(),
    "stdin": sys.stdin.read(),
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    "lifeline": descriptor(),
}))
"""


@pytest.fixture
def log() -> Iterator[OutputLog]:
    """Where the lines go."""
    log = OutputLog()
    yield log
    log.close()


def end(child: Child) -> Ending:
    assert child.process.wait(10)
    return child.reap()


def shell(script: str, **given: object) -> ProcessSpec:
    return ProcessSpec("acme", ("/bin/sh", "-c", script), **given)  # type: ignore[arg-type]


def test_the_child_gets_its_secrets_on_the_descriptor_and_nowhere_else(
    tmp_path: Path, log: OutputLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_STORAGE_ACME_WORD", SECRET)
    monkeypatch.setenv("STORAGEBUS_WORKER_ENDPOINT", "ipc://of-our-own-parent")
    report = tmp_path / "report.json"
    spec = ProcessSpec(
        "acme",
        (sys.executable, "-c", REPORT, str(report)),
        env={"STORAGEBUS_WORKER_SERVICE": "default"},
        secrets={"word": SECRET, "number": 42},
    )
    child = Child(spec, "c00kie", log)
    ending = end(child)
    assert ending == Ending(code=0), ending
    told = json.loads(report.read_text())
    assert told["line"] == {"secrets": {"word": SECRET, "number": 42}}
    assert SECRET not in told["cmdline"] + told["environ"]
    variables = dict(one.split("=", 1) for one in told["environ"].split("\0") if one)
    assert variables["STORAGEBUS_WORKER_COOKIE"] == "c00kie"
    assert variables["STORAGEBUS_WORKER_SERVICE"] == "default"
    assert "STORAGEBUS_WORKER_ENDPOINT" not in variables
    assert told["stdin"] == ""
    # Its own three, its lifeline, and the one that lists the directory.
    assert len(told["fds"]) == 5
    assert {0, 1, 2, told["lifeline"]} < set(told["fds"])


def test_closing_the_parents_end_is_the_end_of_the_lifeline(log: OutputLog) -> None:
    child = Child(shell("cat </dev/fd/$STORAGEBUS_WORKER_FD"), "c", log)
    assert not child.process.wait(0.1)
    child.close()
    assert end(child).code == 0


def test_output_goes_line_by_line_to_the_log_and_stderr_stays_for_errors(
    log: OutputLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    child = Child(shell("echo one; echo two >&2; printf three >&2; exit 4"), "c", log)
    child.is_ready = True
    ending = end(child)
    log.close()
    assert ending == Ending(code=4, tail=("two", "three"))
    told = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "storagebus.driver.acme"
    ]
    assert told == [
        ("INFO", f"acme[{child.pid}]: one"),
        ("WARNING", f"acme[{child.pid}]: two"),
        ("WARNING", f"acme[{child.pid}]: three"),
    ]


def test_until_it_is_ready_only_what_it_calls_a_warning_is_one(
    log: OutputLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    end(Child(shell("echo Traceback >&2; echo '<4>careful' >&2; exit 4"), "c", log))
    log.close()
    told = [
        (record.levelname, record.getMessage().partition(": ")[2])
        for record in caplog.records
        if record.name == "storagebus.driver.acme"
    ]
    assert told == [("INFO", "Traceback"), ("WARNING", "careful")]


def test_stdout_stands_in_where_stderr_is_silent(log: OutputLog) -> None:
    assert end(Child(shell("echo noise; exit 1"), "c", log)).tail == ("noise",)


def test_word_of_readiness_comes_on_its_own_descriptor(log: OutputLog) -> None:
    script = "echo ready >/dev/fd/$STORAGEBUS_READY_FD; echo ready; exec sleep 60"
    child = Child(shell(script, ready=Readiness.TOLD), "c", log)
    os.set_blocking(child.ready_fd, True)
    assert child.said_ready()
    child.process.send_group(9)
    end(child)


def test_a_descriptor_of_readiness_that_just_ends_is_no_word(log: OutputLog) -> None:
    child = Child(shell("exit 0", ready=Readiness.TOLD), "c", log)
    assert child.process.wait(10)
    assert not child.said_ready()
    child.reap()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ProcessSpec("acme", ("/no/such/program",)), "No such file"),
        (shell("exit", secrets={"word": "x" * 70_000}), "at most 65536"),
        (shell("exit", secrets={"word": float("nan")}), "JSON"),
        (shell("exit", env={"A": "nul\0"}), "null byte"),
    ],
)
def test_what_cannot_be_started_says_why_and_leaves_no_descriptor(
    spec: ProcessSpec, message: str, log: OutputLog
) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    with pytest.raises((OSError, ValueError), match=message):
        Child(spec, "c", log)
    assert count() == before


def test_large_secrets_arrive_whole_before_the_child_reads(
    tmp_path: Path, log: OutputLog
) -> None:
    word, report = os.urandom(30_000).hex(), tmp_path / "report"
    script = f"read -r line </dev/fd/$STORAGEBUS_WORKER_FD; echo \"$line\" > '{report}'"
    end(Child(shell(script, secrets={"word": word}), "c", log))
    assert json.loads(report.read_text()) == {"secrets": {"word": word}}


def test_the_environment_is_the_parents_with_changes() -> None:
    spec = ProcessSpec(
        "acme",
        ("run",),
        env={"ADDED": "1", "REMOVED": None, "CHANGED": "new"},
        secrets={
            "word": "s3cr3t-word",
            "deep": {"list": ["deep-word"]},
            "short": "abc",
        },
    )
    inherited = {
        "PATH": "/bin",
        "HOME": "s3cr3t-word",  # absurd, but a home is needed
        "REMOVED": "1",
        "CHANGED": "old",
        "A_KEY": "s3cr3t-word",
        "B_KEY": "deep-word",
        "C_KEY": "abc",
        "STORAGEBUS_WORKER_FD": "7",
        "STORAGEBUS_WORKER_FAULTS": "{}",
        "STORAGEBUS_READY_FD": "8",
        "STORAGEBUS_DEBUG": "1",
    }
    assert child_environment(spec, inherited) == {
        "PATH": "/bin",
        "HOME": "s3cr3t-word",
        "CHANGED": "new",
        "C_KEY": "abc",
        "STORAGEBUS_DEBUG": "1",
        "STORAGEBUS_WORKER_FAULTS": "{}",
        "ADDED": "1",
    }

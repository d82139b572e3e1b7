"""Executables that do not become a driver: a clear error in time, and nothing left."""

from __future__ import annotations

import time
from typing import Any

import pytest
from programs import DRIVER, Programs

from storagebus.client.child import ChildDriver
from storagebus.drivers import create
from storagebus.drivers.errors import (
    AccessDeniedError,
    Executed,
    IncompatibleVersionError,
    InvalidParameterError,
    InvalidStorageDriverError,
    StorageError,
    UnavailableError,
)
from storagebus.workers.children import START_TIMEOUT_S
from storagebus.workers.elastic import PoolSize

WORKER = (
    DRIVER
    + """
from dataclasses import replace
from storagebus.workers import serving

greeting = serving.greeting
def changed(*args):
    return replace(greeting(*args), **CHANGES)
serving.greeting = changed
print("a last word", file=sys.stderr, flush=True)
serve(create("inmemory"))
"""
)


def failure(name: str = "bad", **parameters: Any) -> StorageError:
    """The error of `create`, which comes before the deadline of a start."""
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        create(name, parameters)
    assert time.monotonic() - started < START_TIMEOUT_S
    assert caught.value.executed is Executed.NO
    return caught.value


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (0, UnavailableError),
        (1, UnavailableError),
        (64, InvalidStorageDriverError),
        (65, InvalidParameterError),
        (69, UnavailableError),
        (75, UnavailableError),
        (78, InvalidParameterError),
    ],
)
def test_an_early_exit_is_an_error_with_code_and_last_lines(
    programs: Programs, code: int, cls: type[StorageError]
) -> None:
    programs.add(
        "bad",
        f"""
        import sys
        print("\\x00\\xff noise", "HELLO" * 10_000)
        for number in range(100):
            print("line", number, file=sys.stderr)
        sys.exit({code})
        """,
    )
    error = failure()
    assert type(error) is cls
    assert f"registry-storage-bad exited with code {code}" in str(error)
    assert str(error).endswith("line 97\nline 98\nline 99")
    assert "line 50\n" not in str(error)


def test_a_signal_is_named(programs: Programs) -> None:
    programs.add("bad", "import os; os.abort()")
    assert "SIGABRT" in str(failure())


def test_stdout_speaks_where_stderr_is_silent(programs: Programs) -> None:
    programs.add("bad", "print('what went wrong'); raise SystemExit(3)")
    assert str(failure()).endswith("what went wrong")


@pytest.mark.parametrize(
    "body",
    [
        "import time; print('waiting', flush=True); time.sleep(60)",
        # Ignores its lifeline and every signal that can be ignored, with a grandchild.
        """
        import signal, subprocess, sys, time
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if len(sys.argv) == 2:
            subprocess.Popen([sys.executable, __file__, "grand", "child"])
        print("waiting", flush=True)
        while True:
            time.sleep(60)
        """,
        "print('waiting')\nwhile True: print('noise' * 100, flush=True)",
    ],
)
def test_one_that_never_says_hello_is_ended(programs: Programs, body: str) -> None:
    path = programs.add("bad", body)
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=r"not ready within 1\.5 s") as caught:
        ChildDriver("bad", str(path), {}, PoolSize(), start_timeout_s=1.5)
    assert time.monotonic() - started < 15  # the default is 30 s
    assert "waiting" in str(caught.value) or "noise" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "cls", "said"),
    [
        ("protocol=(7, 9)", IncompatibleVersionError, ["7", "9", "1 to 1"]),
        ("api_version='2.0'", IncompatibleVersionError, ["2.0", "1.0"]),
        ("api_version='1.9'", IncompatibleVersionError, ["1.9", "1.0"]),
        ("api_version='new'", StorageError, []),
        ("cookie='guessed'", AccessDeniedError, ["wrong cookie"]),
        ("service='another'", AccessDeniedError, ["'another'"]),
    ],
)
def test_a_greeting_that_does_not_fit(
    programs: Programs, changes: str, cls: type[StorageError], said: list[str]
) -> None:
    programs.add("bad", WORKER.replace("CHANGES", f"dict({changes})"))
    error = failure()
    assert isinstance(error, cls)
    for word in said:
        assert word in error.detail
    assert "a last word" in error.detail


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("name = None", "Ill: its name must be"),
        ("api_version = 1", "Ill: its api_version must be"),
        ("capabilities = {'shared': False}", "Ill: its capabilities must be"),
    ],
)
def test_a_driver_that_no_broker_would_take_says_so(
    programs: Programs, broken: str, said: str
) -> None:
    body = f"""
from storagebus.drivers.inmemory import InMemoryDriver

class Ill(InMemoryDriver):
    {broken}

serve(Ill())
"""
    programs.add("bad", DRIVER + body)
    assert said in failure().detail


def test_an_older_minor_version_is_served_with_what_it_has(programs: Programs) -> None:
    programs.add("old", WORKER.replace("CHANGES", "dict(api_version='1.0')"))
    with create("old") as driver:
        driver.put_content("/a", b"1")
        assert driver.get_content("/a") == b"1"


def test_a_driver_that_refuses_its_parameters_is_heard(programs: Programs) -> None:
    programs.add("bad", 'import storagebus.workers.builtin as b; b._main("filesystem")')
    error = failure(colour="green")
    assert isinstance(error, InvalidParameterError)
    assert "colour" in str(error)


def test_a_script_without_its_interpreter(programs: Programs) -> None:
    programs.add("bad", "", shebang="/there/is/no/interpreter")
    error = failure()
    assert isinstance(error, InvalidStorageDriverError)
    assert "could not be started" in str(error)


def test_a_file_that_is_no_program(programs: Programs) -> None:
    path = programs.add("bad", "")
    path.write_bytes(b"\x00\x01\x02")
    error = failure()
    assert isinstance(error, InvalidStorageDriverError)
    assert "Exec format error" in str(error)


def test_a_file_that_may_not_be_executed(programs: Programs) -> None:
    path = programs.add("bad", "")
    path.chmod(0o644)
    error = failure()
    assert isinstance(error, InvalidStorageDriverError)
    assert f"{path} is not executable" in str(error)


def test_none_at_all_says_where_it_was_sought(programs: Programs) -> None:
    error = failure("nobody-has-this")
    assert isinstance(error, InvalidStorageDriverError)
    assert "registry-storage-nobody-has-this on PATH" in str(error)


@pytest.mark.parametrize(
    ("pool", "named"),
    [
        ({"wokers": 2}, "'wokers'"),
        ({"workers": 0}, "workers"),
        ({"workers": 257}, "workers"),
        ({"workers": "2"}, "workers"),
        ({"workers": True}, "workers"),
        ({"slots": 0}, "slots"),
        ({"slots": 1.5}, "slots"),
        ({"workers": 2, "min": 1}, "min"),
        ({"min": 3, "max": 2}, "min 3"),
        ({"max": -1}, "max"),
        (3, "pool"),
    ],
)
def test_a_wrong_pool_is_an_error_that_names_the_entry(
    programs: Programs, pool: Any, named: str
) -> None:
    programs.add("fine", DRIVER + 'serve(create("inmemory"))')
    with pytest.raises(InvalidParameterError, match=named):
        create("fine", {}, pool=pool)

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storagebus.conf.main import main
from storagebus.conf.options import Target
from storagebus.drivers import StorageDriver
from storagebus.drivers.errors import CODES, StorageError

STORE = """
import os, sys, time
from storagebus.conf.main import main
from storagebus.drivers import create

store = create("inmemory")
for number in range(20_000):
    store.put_content(f"/d/{number:05}", b"x")
store.put_content("/big", bytes(8 << 20))
"""


def in_process(script: str, *args: str, **options: Any) -> subprocess.Popen[bytes]:
    """A process of its own that runs the command line over a store of its own."""
    ending = f"\nsys.exit(main(sys.argv[1:], open_store={script}))"
    return subprocess.Popen(
        [sys.executable, "-c", STORE + ending, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "STORAGEBUS_ENDPOINT": "ipc:///nowhere"},
        **options,
    )


@pytest.mark.parametrize("cls", CODES.values(), ids=lambda cls: cls.__name__)
def test_every_error_is_one_line_and_its_exit_code(
    run: Any, cls: type[StorageError]
) -> None:
    from storagebus.conf.exits import BY_CLASS

    def fail(path: str) -> None:
        raise cls("it\nhas two lines", path=path, driver="acme")

    run.store = Failing(run.store, stat=fail)
    ran = run("stat", "/a")
    assert ran.code == BY_CLASS[cls]
    assert ran.out == ""
    assert ran.err == f"storagebus: acme: {cls.summary}: it has two lines: /a\n"


class Failing:
    """A store with some methods replaced."""

    def __init__(self, store: StorageDriver, **methods: Any) -> None:
        self._store = store
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._store, name)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "local"), 3, ": local"),
        (PermissionError(errno.EACCES, "Permission denied", "local"), 5, ": local"),
        (OSError(errno.ENOSPC, "No space left on device"), 6, "storage full"),
        (ZeroDivisionError("oops"), 1, "internal error: ZeroDivisionError: oops"),
    ],
)
def test_other_exceptions_are_one_line_too(
    run: Any, error: Exception, code: int, words: str
) -> None:
    def fail(path: str) -> None:
        raise error

    run.store = Failing(run.store, stat=fail)
    ran = run("stat", "/a")
    assert ran.code == code
    assert ran.err.count("\n") == 1
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_traceback_only_on_demand(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGEBUS_DEBUG", "1")
    ran = run("stat", "/missing")
    assert ran.code == 3
    assert "Traceback" in ran.err
    assert ran.err.endswith("storagebus: inmemory: path not found: /missing\n")
    monkeypatch.setenv("STORAGEBUS_DEBUG", "0")
    assert "Traceback" not in run("stat", "/missing").err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "Missing command; see storagebus --help"),
        (["conf"], "Missing command; see storagebus conf --help"),
        (["nosuch"], "No such command 'nosuch'; see storagebus --help"),
        (["stat"], "Missing argument 'PATH...'; see storagebus stat --help"),
        (["ls", "--nosuch"], "--nosuch; see storagebus ls --help"),
        (["cat", "--offset", "x", "/a"], "'x' is not a valid integer"),
        (["ls", "--deadline", "0"], "--deadline"),
        (["ls", "--deadline", "soon"], "--deadline"),
        (["ls", "--deadline", "nan"], "--deadline"),
        (["ls", "--deadline", "inf"], "--deadline"),
        (["ready", "--timeout", "nan"], "--timeout"),
        (["bench", "--driver", "inmemory", "--seconds", "nan"], "--seconds"),
        (["conf", "nosuch"], "see storagebus conf --help"),
    ],
)
def test_wrong_usage_is_one_line_with_a_hint(
    run: Any, args: list[str], words: str
) -> None:
    ran = run(*args)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("storagebus: ")
    assert ran.err.count("\n") == 1
    assert words.replace("'", "") in ran.err.replace("'", "")


def test_no_endpoint_says_what_to_do(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGEBUS_ENDPOINT")
    ran = run("ls")
    assert ran.code == 2
    assert "--endpoint ADDRESS or set STORAGEBUS_ENDPOINT" in ran.err


def test_where_the_target_comes_from(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run("ls")
    run("ls", "--endpoint", "ipc:///a, ipc:///b", "--service", "s", "--deadline", "2.5")
    monkeypatch.setenv("STORAGEBUS_SERVICE", "of-environment")
    monkeypatch.setenv("STORAGEBUS_DEADLINE", "7")
    run("ls")
    assert run.targets == [
        Target(("ipc:///nowhere/clients",), "default", 30.0),
        Target(("ipc:///a", "ipc:///b"), "s", 2.5),
        Target(("ipc:///nowhere/clients",), "of-environment", 7.0),
    ]


def test_version_and_help(run: Any) -> None:
    assert run("--version").out.startswith("storagebus ")
    ran = run("--help")
    assert ran.code == 0
    assert "Examples:" in ran.out
    for name in ("up", "ls", "conform", "conf"):
        assert f"\n  {name} " in ran.out
    assert run("--help").out == run("-h").out


def test_an_interrupt_is_130_and_says_nothing(run: Any) -> None:
    def interrupted(path: str) -> None:
        raise KeyboardInterrupt

    run.store = Failing(run.store, stat=interrupted)
    ran = run("stat", "/a")
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_a_real_interrupt_ends_a_running_transfer(tmp_path: Path) -> None:
    setup = """
class Slow:
    def __init__(self, target): pass
    def __getattr__(self, name): return getattr(store, name)
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def reader(self, path, **options):
        os.write(1, b"reading\\n")
        time.sleep(0.2)
        return store.reader(path, **options)
"""
    script = STORE + setup + "\nsys.exit(main(sys.argv[1:], open_store=Slow))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "get", "-r", "/d", str(tmp_path / "to")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "STORAGEBUS_ENDPOINT": "ipc:///nowhere"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"reading\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert not list((tmp_path / "to").glob(".storagebus-*"))


@pytest.mark.parametrize(
    "args", [["walk", "/"], ["ls", "--json", "/d"], ["cat", "/big"]]
)
def test_a_broken_pipe_is_quiet(args: list[str]) -> None:
    process = in_process("lambda target: store", *args)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) == 141


def test_the_program_and_its_module_are_the_same() -> None:
    for command in (
        [str(Path(sys.executable).with_name("storagebus"))],
        [sys.executable, "-m", "storagebus.conf"],
    ):
        ran = subprocess.run([*command, "nosuch"], capture_output=True, timeout=30)
        assert ran.returncode == 2
        assert ran.stderr.startswith(b"storagebus: No such command")


def test_help_and_ls_load_nothing_that_they_do_not_need() -> None:
    script = """
import sys
from storagebus.conf.main import main
main(["--help"])
print([name for name in sys.modules if name.startswith(("zmq", "storagebus.client",
    "storagebus.broker", "storagebus.workers", "tqdm", "msgpack"))], file=sys.stderr)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=30, check=True
    )
    assert ran.stderr == b"[]\n"


def test_completion_is_offered(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("_STORAGEBUS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "storagebus sta")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ["plain,status", "plain,stat"]

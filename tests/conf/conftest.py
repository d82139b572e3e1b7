"""The command line, run in this process over a store of its own."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storagebus.conf.main import main
from storagebus.conf.options import Target
from storagebus.drivers import StorageDriver, create


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str
    raw: bytes


class Command:
    """Runs `storagebus` with arguments; the store stays from one run to the next."""

    def __init__(
        self,
        capture: pytest.CaptureFixture[bytes],
        patch: pytest.MonkeyPatch,
        store: StorageDriver,
    ) -> None:
        self._capture = capture
        self._patch = patch
        self.store = store
        self.targets: list[Target] = []

    def __call__(self, *args: str, stdin: bytes = b"") -> Ran:
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capture.readouterr()
        code = main(args, open_store=self._open)
        out, err = self._capture.readouterr()
        return Ran(code, out.decode("utf-8", "replace"), err.decode(), out)

    def _open(self, target: Target) -> StorageDriver:
        self.targets.append(target)
        return Unclosed(self.store)


class Unclosed:
    """A store that outlives the command."""

    def __init__(self, store: StorageDriver) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def __enter__(self) -> Unclosed:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[StorageDriver]:
    with create("inmemory") as made:
        yield made


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing from the environment of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("STORAGEBUS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def run(
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    store: StorageDriver,
) -> Callable[..., Ran]:
    monkeypatch.setenv("STORAGEBUS_ENDPOINT", "ipc:///nowhere/clients")
    return Command(capsysbinary, monkeypatch, store)


class Up:
    """A running `storagebus up`, as a process of its own."""

    def __init__(self, *args: str, cwd: Path, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "storagebus.conf", "up", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **variables},
        )

    def line(self) -> str:
        """The line that says that it is ready."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code, and what it wrote to stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err.decode()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts `storagebus up` in a directory of the test."""
    started: list[Up] = []

    def start(*args: str, **variables: str) -> Up:
        started.append(Up(*args, cwd=tmp_path, **variables))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.stop()


@pytest.fixture(scope="session")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a bus with one filesystem service of two workers."""
    running = Up("--json", cwd=tmp_path_factory.mktemp("bus"))
    yield json.loads(running.line())["endpoint"]
    code, _ = running.stop()
    assert code == 0

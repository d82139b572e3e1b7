"""The command line, run in this process over a store of its own."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
    import os

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

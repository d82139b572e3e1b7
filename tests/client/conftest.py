"""Real buses for the tests of the clients."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from call_ways import Ways
from programs import Programs, wait_until
from real_bus import RealBus

from storagebus.client import Client, household

LEFT_S_MAX = 20.0


@pytest.fixture(scope="module")
def shared_bus() -> Iterator[RealBus]:
    """A bus with an inmemory worker, for tests that leave it as it is."""
    with RealBus() as made:
        yield made


@pytest.fixture
def client(shared_bus: RealBus) -> Iterator[Client]:
    """A client of the shared bus."""
    with Client(shared_bus.endpoint, deadline=20.0) as made:
        yield made


@pytest.fixture
def disk_bus(tmp_path: Path) -> Iterator[RealBus]:
    """A bus of its own with two filesystem workers, for tests that break it."""
    with RealBus("filesystem", {"rootdirectory": str(tmp_path)}, workers=2) as made:
        yield made


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    """Driver executables on PATH; in the end none runs, and no directory is left."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    runtime = Path(tempfile.mkdtemp(prefix="sb-"))  # short, as sockets' paths are
    monkeypatch.setattr(household, "RUNTIME_PARENT", str(runtime))
    made = Programs(directory)
    try:
        yield made
        made.await_none()
        # The thread that ends a driver nobody holds removes its directory last.
        assert wait_until(lambda: not [*runtime.iterdir()], LEFT_S_MAX)
    finally:
        for process in made.running():
            process.kill()
        shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Ways:
    return Ways(monkeypatch)


@pytest.fixture
def files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[RealBus, Client]]:
    """A bus whose store several workers can share, and a client."""
    monkeypatch.setenv("STORAGEBUS_LANE", "calls")
    with (
        RealBus("filesystem", {"rootdirectory": str(tmp_path)}) as bus,
        Client(bus.endpoint, deadline=20.0) as client,
    ):
        client.put_content("/a/b", b"first")
        yield bus, client

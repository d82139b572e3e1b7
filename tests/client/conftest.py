"""Real buses for the tests of the clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_bus import RealBus

from storagebus.client import Client


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

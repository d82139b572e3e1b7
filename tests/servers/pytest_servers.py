"""Fixtures: each server is installed and started at most once a run, when asked for.

Where a server cannot be had, the tests that need it are skipped and the run ends with
a list of what was not proven. With STORAGEBUS_SERVERS_REQUIRED set, as CI has it,
they fail instead: a run without them says little about the drivers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from .azurite import Azurite
from .install import CannotInstall
from .radosgw import RadosGW
from .seaweedfs import SeaweedFS
from .server import Server
from .swift import OldSwift, Swift

REQUIRED = "STORAGEBUS_SERVERS_REQUIRED"

MISSING: dict[str, str] = {}
"""Servers that could not be installed in this run, and why."""


def cannot_install(name: str, error: CannotInstall) -> None:
    """Skip or fail the test that needs something which cannot be had."""
    MISSING[name] = str(error)
    text = f"{name} cannot be installed: {error}"
    if os.environ.get(REQUIRED):
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def running(server: Server) -> Iterator[Server]:
    """A server while the tests run."""
    try:
        server.start()
    except CannotInstall as error:
        server.remove()
        cannot_install(server.name, error)
    yield server
    server.remove()


def _fixture(make: Callable[[], Server], name: str) -> Callable[[], Iterator[Server]]:
    @pytest.fixture(scope="session", name=name)
    def fixture() -> Iterator[Server]:
        yield from running(make())

    return fixture


seaweedfs = _fixture(SeaweedFS, "seaweedfs")
radosgw = _fixture(RadosGW, "radosgw")
swift = _fixture(Swift, "swift")
old_swift = _fixture(OldSwift, "old_swift")
azurite = _fixture(Azurite, "azurite")
azurite_of_any_version = _fixture(
    lambda: Azurite(any_version=True), "azurite_of_any_version"
)
secure_azurite = _fixture(
    lambda: Azurite(any_version=True, tokens=True), "secure_azurite"
)

FIXTURES = {
    "azurite",
    "azurite_of_any_version",
    "old_swift",
    "radosgw",
    "seaweedfs",
    "secure_azurite",
    "swift",
}


def said_loudly() -> str:
    """What to say at the end of a run about servers that were not there; or ""."""
    lines = [f"{name}: {why}" for name, why in sorted(MISSING.items())]
    return "\n".join(lines)

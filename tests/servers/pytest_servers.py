"""Fixtures: each server is installed and started at most once a run, when asked for.

A server that cannot be had fails the tests that need it: a run without them would
prove nothing about the drivers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .install import CannotInstall
from .radosgw import RadosGW
from .seaweedfs import SeaweedFS
from .server import Server
from .swift import Swift


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
    except CannotInstall as error:
        server.remove()
        pytest.fail(f"the server {server.name} cannot be installed: {error}", False)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[Server]:
    yield from _running(SeaweedFS())


@pytest.fixture(scope="session")
def radosgw() -> Iterator[Server]:
    yield from _running(RadosGW())


@pytest.fixture(scope="session")
def swift() -> Iterator[Server]:
    yield from _running(Swift())

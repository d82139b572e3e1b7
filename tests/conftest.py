"""Which tests need what."""

from __future__ import annotations

import pytest

SERVERS = {"azurite", "radosgw", "seaweedfs", "swift"}
"""Fixtures that install and start a storage server."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses a storage server is one of `make test-stores`."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.stores)

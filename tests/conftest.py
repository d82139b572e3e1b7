"""Which tests need what, and what all of them may count on."""

from __future__ import annotations

import signal

import pytest

SERVERS = {"azurite", "radosgw", "seaweedfs", "swift"}
"""Fixtures that install and start a storage server."""

# A runner that starts us in the background has SIGINT ignored, and every process
# that a test starts would inherit that and never end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses a storage server is one of `make test-stores`."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.stores)

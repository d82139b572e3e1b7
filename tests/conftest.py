"""Which tests need what, and what all of them may count on."""

from __future__ import annotations

import signal

import hypothesis
import pytest
from servers.pytest_servers import (
    FIXTURES,
    azurite,
    azurite_of_any_version,
    old_swift,
    radosgw,
    said_loudly,
    seaweedfs,
    secure_azurite,
    swift,
)

__all__ = [
    "azurite",
    "azurite_of_any_version",
    "old_swift",
    "radosgw",
    "seaweedfs",
    "secure_azurite",
    "swift",
]

# A runner that starts us in the background has SIGINT ignored, and every process
# that a test starts would inherit that and never end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says more about the machine than about what is tested.
hypothesis.settings.register_profile(
    "any-machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses a storage server is one of `make test-stores`."""
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.stores)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers were not there, where nobody can overlook it."""
    if missing := said_loudly():
        terminalreporter.section("NOT PROVEN: servers are missing", red=True, bold=True)
        terminalreporter.write_line(missing)
        terminalreporter.write_line(
            "The tests that need them did not run, so this run says little about the "
            "cloud drivers."
        )

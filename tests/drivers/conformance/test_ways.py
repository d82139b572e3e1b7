"""The three doors of the suite: in this process, as a child, through a bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from storagebus.drivers import StorageDriver, conformance, factory
from storagebus.drivers.checked import Checked
from storagebus.drivers.errors import InvalidStorageDriverError
from storagebus.drivers.inmemory import InMemoryDriver


def test_in_process_passes_on_the_seed_and_the_name() -> None:
    report = conformance.in_process(InMemoryDriver, only="content.32-bytes", seed="7")
    assert (report.driver, report.seed, report.ok) == ("inmemory", "7", True)


class Fallback:
    """Stands for the entry point by which the client package offers children."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, Any], Mapping[str, int] | None]] = []

    def load(self) -> Any:
        return self

    def __call__(
        self, name: str, given: Mapping[str, Any], pool: Mapping[str, int] | None
    ) -> StorageDriver | None:
        self.asked.append((name, given, pool))
        return Checked(InMemoryDriver()) if name == "inmemory" else None


def test_a_child_is_asked_for_though_the_driver_is_built_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fallback = Fallback()
    monkeypatch.setattr(factory, "entry_points", lambda group: [fallback])
    report = conformance.child("inmemory", {"a": 1}, only="stat", pool={"workers": 2})
    assert report.ok
    assert set(map(repr, fallback.asked)) == {
        repr(("inmemory", {"a": 1}, {"workers": 2}))
    }


def test_a_missing_executable_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(factory, "entry_points", lambda group: [Fallback()])
    with pytest.raises(InvalidStorageDriverError, match="registry-storage-acme"):
        conformance.child("acme")


def test_a_bus_is_reached_by_the_driver_of_that_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []

    def make_bus(**parameters: Any) -> StorageDriver:
        given.append(parameters)
        return InMemoryDriver()

    monkeypatch.setitem(factory._registered, "bus", make_bus)
    assert conformance.bus("ipc:///nowhere", "blobs", only="content").ok
    assert given[0] == {"endpoint": "ipc:///nowhere", "service": "blobs"}

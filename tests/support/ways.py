"""The ways of reaching a driver: in this process, as a managed child, over a bus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from async_driver import AsyncDriver
from running_bus import running_bus

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.factory import create_child

MakeDriver = Callable[[], StorageDriver]
Way = Callable[[str, dict[str, Any]], AbstractContextManager[MakeDriver]]
"""From a driver's name and parameters to what makes instances, while it is open."""


@contextmanager
def in_process(name: str, parameters: dict[str, Any]) -> Iterator[MakeDriver]:
    yield lambda: create(name, parameters)


@contextmanager
def child(name: str, parameters: dict[str, Any]) -> Iterator[MakeDriver]:
    yield lambda: create_child(name, parameters)


@contextmanager
def bus(name: str, parameters: dict[str, Any]) -> Iterator[MakeDriver]:
    with running_bus(name, parameters, workers_for(name)) as endpoint:
        yield lambda: create("bus", {"endpoint": endpoint})


@contextmanager
def asynchronous(name: str, parameters: dict[str, Any]) -> Iterator[MakeDriver]:
    with running_bus(name, parameters, workers_for(name)) as endpoint:
        yield lambda: AsyncDriver(endpoint)


@contextmanager
def reached(
    way: str, name: str, parameters: dict[str, Any], deadline_s: float
) -> Iterator[StorageDriver]:
    """One instance, where calls must end soon.

    Args:
        way: "in-process" or "bus".
        name: the driver's.
        parameters: the driver's own.
        deadline_s: of each call over the bus, whose client tries what is temporary
            until then.
    """
    if way == "in-process":
        with create(name, parameters) as driver:
            yield driver
        return
    with (
        running_bus(name, parameters) as endpoint,
        create("bus", {"endpoint": endpoint, "deadline": deadline_s}) as client,
    ):
        yield client


def workers_for(name: str) -> int:
    """Two, but for the driver whose store is its own process."""
    return 1 if name == "inmemory" else 2


WAYS: dict[str, Way] = {
    "in-process": in_process,
    "child": child,
    "bus": bus,
    "async": asynchronous,
}

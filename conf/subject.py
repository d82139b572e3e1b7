"""What `storagebus bench` measures: a store, and the processes that are behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import click

from ..drivers.contract import StorageDriver
from ..drivers.factory import create, create_child
from . import memory
from .options import Target, open_client

SERVICE = "default"
CLIENT = "this process"

FindProcesses = Callable[[], memory.Processes]
Subject = tuple[StorageDriver, FindProcesses]
"""The store, and what finds its processes on this host: there may be more later."""


@contextmanager
def subject(
    driver: str | None,
    parameters: dict[str, Any] | None,
    as_child: bool,
    endpoint: str | None,
    service: str | None,
    deadline: float,
) -> Iterator[Subject]:
    """The subject that the options lead to, closed at the end.

    Args:
        driver, parameters, as_child: a driver of our own, in this process or not.
        endpoint, service: a service of a running bus instead.
        deadline: seconds for each call to a service.

    Raises:
        click.UsageError: they lead to none, or to two.
        StorageError: it cannot be had.
    """
    if (driver is None) == (endpoint is None):
        raise click.UsageError(
            "give --driver NAME for a driver, or --endpoint ADDRESS for a service"
        )
    here: memory.Processes = {os.getpid(): CLIENT}
    if endpoint is not None:
        if parameters is not None or as_child:
            raise click.UsageError("--parameters and --child are for --driver")
        addresses = tuple(part.strip() for part in endpoint.split(","))
        name = service or SERVICE
        with closing(open_client(Target(addresses, name, deadline))) as client:
            client.stat("/")  # nothing is measured before it is there
            yield client, lambda: here | memory.of_service(client.bus_status(), name)
        return
    if service is not None:
        raise click.UsageError("--service is for --endpoint")
    assert driver is not None
    make = create_child if as_child else create
    with make(driver, parameters or {}) as store:
        yield store, lambda: here | memory.of_children(os.getpid())

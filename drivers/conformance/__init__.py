"""The conformance suite: the same checks for a driver however it is reached.

    from storagebus.drivers import conformance

    report = conformance.in_process(lambda: AcmeDriver(bucket="test"))
    print(report)
    assert report.ok

The checks work below random directories of their own, which they remove again, so the
store may hold other objects and have other users meanwhile. drivers/conformance.md says
how to read a report and how to add a requirement.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..checked import Checked
from ..factory import create, create_child
from .report import Outcome, Report, Result
from .requirement import Requirement, Tier
from .session import MakeDriver, Session
from .table import REQUIREMENTS, choose

__all__ = [
    "REQUIREMENTS",
    "Outcome",
    "Report",
    "Requirement",
    "Result",
    "Session",
    "Tier",
    "bus",
    "child",
    "choose",
    "in_process",
]

Progress = Callable[[Result], None]


def in_process(
    make_driver: MakeDriver,
    long: bool = False,
    only: str | Iterable[str] | None = None,
    progress: Progress | None = None,
    *,
    seed: str | None = None,
) -> Report:
    """Check a driver in this process.

    Args:
        make_driver: makes a new instance of the driver at each call; all over the same
            store, if the driver has the capability `shared`. The suite closes them.
        long: also the long tier, with the sizes of the registry's own suite: objects
            of 5 GiB, many minutes.
        only: names, topics or patterns of requirements; None for all of them.
        progress: called with each result as soon as it is decided.
        seed: of an earlier report, to repeat its random content.

    Raises:
        InvalidParameterError: `only` fits no requirement.
        StorageError: whatever `make_driver` raises.
    """

    def make_checked() -> Checked:
        driver = make_driver()
        return driver if isinstance(driver, Checked) else Checked(driver)

    return _run(make_checked, long, only, progress, seed)


def child(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    long: bool = False,
    only: str | Iterable[str] | None = None,
    progress: Progress | None = None,
    *,
    pool: Mapping[str, int] | None = None,
    seed: str | None = None,
) -> Report:
    """Check a driver as the managed child `registry-storage-NAME`.

    Args:
        name: the executable's NAME; a driver of that name in this process is ignored.
        parameters: the driver's own.
        pool: size of the pool of children, as for `create`.

    The other parameters and errors are those of `in_process`; besides:

    Raises:
        InvalidStorageDriverError: there is no such executable.
    """

    def make_child() -> Any:
        return create_child(name, parameters, pool=pool)

    return _run(make_child, long, only, progress, seed)


def bus(
    endpoint: str | list[str],
    service: str,
    long: bool = False,
    only: str | Iterable[str] | None = None,
    progress: Progress | None = None,
    *,
    deadline: float | None = None,
    seed: str | None = None,
) -> Report:
    """Check a service of a running bus, through its broker and workers.

    Args:
        endpoint: where the broker listens, or a list of brokers.
        service: which of its services.
        deadline: seconds for each call; None for the client's default.

    The other parameters and errors are those of `in_process`.
    """

    given: dict[str, Any] = {"endpoint": endpoint, "service": service}
    if deadline is not None:
        given["deadline"] = deadline

    def make_client() -> Any:
        return create("bus", given)

    return _run(make_client, long, only, progress, seed)


def _run(
    make_driver: MakeDriver,
    long: bool,
    only: str | Iterable[str] | None,
    progress: Progress | None,
    seed: str | None,
) -> Report:
    chosen = choose(only)
    seed = secrets.token_hex(8) if seed is None else seed
    session = Session(make_driver, seed=seed, long=long)
    results = []
    try:
        for result in session.run(chosen):
            results.append(result)
            if progress is not None:
                progress(result)
    finally:
        ending = session.close()
    if ending is not None:
        results.append(ending)
        if progress is not None:
            progress(ending)
    return Report(session.driver_name, seed, tuple(results))

"""Commands that look after a running bus: status, ready, drain."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..drivers.errors import (
    DeadlineExceededError,
    StorageError,
    UnavailableError,
)
from .options import (
    Seconds,
    Target,
    endpoint_option,
    json_option,
    open_client,
    service_option,
    target_options,
)
from .output import print_json

if TYPE_CHECKING:
    from ..client import Client

POLL_S = 0.05
ASK_S = 1.0
"""Seconds for one question while waiting; the broker may just be starting."""
ASK_EACH_S = 5.0
"""Seconds after which one of several brokers is shown as silent."""
TIMEOUT_S = 30.0
TIMEOUT_S_MAX = 86_400.0
_MAY_PASS = (UnavailableError, DeadlineExceededError)


@click.command()
@json_option
@target_options
def status(target: Target, as_json: bool) -> None:
    """Show the broker, its services and their workers; of several brokers, each.

    \b
    Examples:
      storagebus status
      storagebus status --json | jq '.services.default.workers[].pid'
    """
    statuses = _ask_each(target)
    found = next(said for said in statuses.values() if "error" not in said)
    if as_json:
        several = {"brokers": [{"endpoint": at, **statuses[at]} for at in statuses]}
        print_json(found if len(statuses) == 1 else {**found, **several})
        return
    for endpoint, said in statuses.items():
        if "error" in said:
            click.echo(f"broker at {endpoint}: {said['error']}")
        else:
            _show(said)


def _ask_each(target: Target) -> dict[str, Mapping[str, Any]]:
    """The status of each broker by its address, or {"error": REASON}.

    Raises:
        StorageError: none answers.
    """
    if len(target.endpoint) > 1:
        target = replace(target, deadline=min(target.deadline, ASK_EACH_S))
    statuses: dict[str, Mapping[str, Any]] = {}
    silent: StorageError | None = None
    for endpoint in target.endpoint:
        try:
            with closing(open_client(replace(target, endpoint=(endpoint,)))) as client:
                statuses[endpoint] = client.bus_status()
        except StorageError as error:
            statuses[endpoint] = {"error": str(error)}
            silent = error
    if silent is not None and all("error" in said for said in statuses.values()):
        raise silent
    return statuses


def service_line(name: str, service: Mapping[str, Any]) -> str:
    """A service's numbers, for people."""
    waiting = service.get("waiting", 0)
    count = service.get("workers_total", len(service["workers"]))
    workers = "1 worker" if count == 1 else f"{count} workers"
    calls = "1 call" if waiting == 1 else f"{waiting} calls"
    return f"service {name}: {workers}, {calls} waiting"


def _show(found: Mapping[str, Any]) -> None:
    """What one broker says, in lines for people."""
    broker = found["broker"]
    facts = ", ".join(
        f"{name} {broker[name]}"
        for name in ("pid", "uptime_s", "clients", "streams", "in_flight_bytes")
        if name in broker
    )
    click.echo(f"broker {broker['id']}: {facts}")
    for name, service in found["services"].items():
        click.echo(service_line(name, service))
        for worker in service["workers"]:
            facts = ", ".join(
                f"{key} {worker[key]}"
                for key in ("pid", "state", "driver", "calls", "streams", "done")
                if key in worker
            )
            click.echo(f"  worker {worker['id']}: {facts}")


@click.command()
@click.argument("worker", metavar="ID")
@target_options
def drain(target: Target, worker: str) -> None:
    """Let a worker finish its work and end; it gets no new work from now on.

    ID is the worker's, as `storagebus status` shows it.

    \b
    Examples:
      storagebus drain 4711-b7d54ca8
    """
    with closing(open_client(target)) as client:
        client.drain(worker)


@click.command()
@endpoint_option
@service_option(
    default=None, help="The service that is needed.  [default: every service]"
)
@click.option(
    "--timeout",
    type=Seconds(0, TIMEOUT_S_MAX),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="How many workers the --service must have.  [default: 1]",
)
@json_option
def ready(
    endpoint: tuple[str, ...],
    service: str | None,
    timeout: float,
    workers: int | None,
    as_json: bool,
) -> None:
    """Wait until the broker answers and every service has a worker.

    Of several brokers, until that is so at each of them.

    Exit code 8 when it took too long; the message says what is missing.

    \b
    Examples:
      storagebus ready --timeout 30
      storagebus ready --service images && storagebus ls --service images /
      storagebus ready --service images --workers 4
    """
    if workers is not None and service is None:
        raise click.UsageError("--workers are those of one --service")
    target = Target(endpoint, service or "default", ASK_S)
    wanted = None if service is None else {service: workers or 1}
    found = _wait_for_each(target, timeout, wanted)
    if as_json:
        counts = {
            name: min(
                len(said["services"].get(name, _NOBODY)["workers"]) for said in found
            )
            for said in found
            for name in said["services"]
        }
        services = {name: {"workers": count} for name, count in counts.items()}
        print_json({"ready": True, "services": services})


_NOBODY: Mapping[str, Any] = {"workers": ()}


def _wait_for_each(
    target: Target, timeout_s: float, wanted: Mapping[str, int] | None
) -> list[Mapping[str, Any]]:
    """See `wait_ready`; the statuses of all brokers, within one time."""
    ends = time.monotonic() + timeout_s
    found = []
    for endpoint in target.endpoint:
        with closing(open_client(replace(target, endpoint=(endpoint,)))) as client:
            left_s = max(0.0, ends - time.monotonic())
            try:
                found.append(wait_ready(client, left_s, wanted, of_s=timeout_s))
            except DeadlineExceededError as error:
                if len(target.endpoint) > 1:
                    error.detail = f"{endpoint}: {error.detail}"
                raise
    return found


def wait_ready(
    client: Client,
    timeout_s: float,
    wanted: Mapping[str, int] | None = None,
    *,
    of_s: float | None = None,
) -> Mapping[str, Any]:
    """Ask the broker until all workers that are wanted are there.

    Args:
        client: a client with a short deadline.
        timeout_s: seconds to wait at most.
        wanted: how many workers each service must have; None for one of every service
            that the broker knows, and at least one service.
        of_s: seconds that there were in all, for the error; None for `timeout_s`.

    Returns:
        The broker's status when all were there.

    Raises:
        DeadlineExceededError: says what is still missing.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            found = client.bus_status()
            missing = missing_workers(found, wanted)
        except _MAY_PASS as error:
            missing = [_reason(error)]
        if not missing:
            return found
        if time.monotonic() + POLL_S > deadline:
            waited_s = timeout_s if of_s is None else of_s
            raise DeadlineExceededError(
                f"not ready within {waited_s:g} s: {'; '.join(missing)}"
            )
        time.sleep(POLL_S)


def missing_workers(
    found: Mapping[str, Any], wanted: Mapping[str, int] | None
) -> Collection[str]:
    """What a status lacks, in words; empty when all workers are there."""
    services = found["services"]
    if wanted is None:
        if not services:
            return ["no service has a worker yet"]
        wanted = dict.fromkeys(services, 1)
    lacking = []
    for name, count in wanted.items():
        service = services.get(name, {})
        workers = service.get("workers", [])
        able = sum(worker.get("state", "ready") == "ready" for worker in workers)
        # A status lists only so many workers of a large service, and counts all.
        able += service.get("workers_total", len(workers)) - len(workers)
        if able < count:
            lacking.append(f"service {name} has {able} of {count} workers")
    return lacking


def _reason(error: StorageError) -> str:
    return f"the broker does not answer ({error})"

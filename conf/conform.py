"""The command conform: the conformance suite for any driver, executable or service."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..drivers import conformance, create
from ..drivers.errors import StorageError
from .options import (
    DEADLINE_S,
    DEADLINE_S_MAX,
    ENDPOINT_HELP,
    Seconds,
    json_option,
)
from .output import print_json
from .parameters import parameters_option

if TYPE_CHECKING:
    from ..drivers.conformance import Report, Result


class _Failed(StorageError):
    summary = "the driver does not conform"


@click.command()
@click.option("--driver", metavar="NAME", help="The driver to check.")
@parameters_option
@click.option(
    "--child",
    "as_child",
    is_flag=True,
    help="Check the executable registry-storage-NAME as a managed child.",
)
@click.option("--endpoint", metavar="ADDRESS", help=ENDPOINT_HELP)
@click.option("--service", metavar="NAME", help="The service to check.")
@click.option(
    "--deadline",
    type=Seconds(0, DEADLINE_S_MAX, min_open=True),
    metavar="SECONDS",
    help=f"Time for each call to the service.  [default: {DEADLINE_S:g}]",
)
@click.option("--long", "is_long", is_flag=True, help="Full sizes: many minutes.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="A requirement, topic or pattern; may be repeated.",
)
@click.option("--seed", metavar="SEED", help="Repeat the random content of a run.")
@json_option
def conform(
    driver: str | None,
    parameters: dict[str, Any] | None,
    as_child: bool,
    endpoint: str | None,
    service: str | None,
    deadline: float | None,
    is_long: bool,
    only: tuple[str, ...],
    seed: str | None,
    as_json: bool,
) -> None:
    """Check that a driver behaves as the contract says, a line a requirement.

    The last line is "N passed, N failed"; before it stands what does not apply to the
    driver. The exit code is 0 only when nothing failed. The store may hold other
    objects: the checks keep to directories of their own and remove them.

    \b
    Examples:
      storagebus conform --driver inmemory
      storagebus conform --driver acme --parameters '{"bucket": "b"}' --child
      storagebus conform --endpoint ipc:///run/storagebus/clients --service default
    """
    check = _way(driver, parameters, as_child, endpoint, service, deadline)

    def show(result: Result) -> None:
        if as_json:
            print_json(result.to_fields())
        elif result.outcome is not conformance.Outcome.LEFT_OUT:
            click.echo(result.line())

    report = check(long=is_long, only=only or None, progress=show, seed=seed)
    if as_json:
        fields = report.to_fields()
        del fields["results"]  # printed already, one a line
        print_json(fields)
    else:
        for line in report.closing_lines():
            click.echo(line)
    if not report.ok:
        raise _Failed(f"{len(report.failed)} failed; --seed {report.seed} repeats it")


def _way(
    driver: str | None,
    parameters: dict[str, Any] | None,
    as_child: bool,
    endpoint: str | None,
    service: str | None,
    deadline: float | None,
) -> Callable[..., Report]:
    """How the driver is reached, from the options."""
    if (driver is None) == (endpoint is None):
        raise click.UsageError(
            "give --driver NAME for a driver, or --endpoint ADDRESS for a service"
        )
    if endpoint is not None:
        if parameters is not None or as_child:
            raise click.UsageError("--parameters and --child are for --driver")
        addresses = [part.strip() for part in endpoint.split(",")]
        name = service or "default"
        return partial(conformance.bus, addresses, name, deadline=deadline)
    for option, value in (("--service", service), ("--deadline", deadline)):
        if value is not None:
            raise click.UsageError(f"{option} is for --endpoint")
    assert driver is not None
    given = parameters or {}
    if as_child:
        return partial(conformance.child, driver, given)
    return partial(conformance.in_process, lambda: create(driver, given))

"""Options that many commands share, and the store that they lead to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..drivers.contract import StorageDriver

if TYPE_CHECKING:
    from ..client import Client

DEADLINE_S = 30.0
DEADLINE_S_MAX = 86_400.0
ENDPOINT_HELP = "Address of the broker, or several with commas between them."

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Target:
    """Which service of which bus a command is about, and how long it may take.

    Attributes:
        endpoint: addresses of the brokers.
        service: name of the service.
        deadline: seconds that each call may take.
    """

    endpoint: tuple[str, ...]
    service: str
    deadline: float


OpenStore = Callable[[Target], StorageDriver]


def open_client(target: Target) -> Client:
    """The store of a command: a client of the bus."""
    from ..client import Client

    return Client(
        list(target.endpoint), service=target.service, deadline=target.deadline
    )


@contextmanager
def opened(target: Target) -> Iterator[StorageDriver]:
    """The store that a command works on, closed at the end."""
    open_store: OpenStore = click.get_current_context().find_root().obj
    with open_store(target) as store:
        yield store


class Seconds(click.FloatRange):
    """A number of seconds: a range leaves out what is no number, which is in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


def service_option(*, default: str | None, help: str) -> Callable[[_F], _F]:
    """The option --service."""
    return click.option(
        "--service",
        default=default,
        envvar="STORAGEBUS_SERVICE",
        metavar="NAME",
        help=f"{help}  [STORAGEBUS_SERVICE]",
    )


def target_options(command: _F) -> _F:
    """Add --endpoint, --service and --deadline; the command gets a `Target` first."""

    @wraps(command)
    def with_target(
        *args: Any,
        endpoint: tuple[str, ...],
        service: str,
        deadline: float,
        **options: Any,
    ) -> Any:
        return command(Target(endpoint, service, deadline), *args, **options)

    add_service = service_option(
        default="default", help="Service of the bus.  [default: default]"
    )
    return endpoint_option(add_service(_deadline(with_target)))  # type: ignore[return-value]


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object a line."
)


def _endpoints(
    context: click.Context, parameter: click.Parameter, given: str | None
) -> tuple[str, ...]:
    addresses = tuple(part.strip() for part in (given or "").split(",") if part.strip())
    if not addresses:
        raise click.UsageError(
            "no endpoint: give --endpoint ADDRESS or set STORAGEBUS_ENDPOINT "
            "(`storagebus up` prints the one that it serves)",
            context,
        )
    return addresses


_deadline = click.option(
    "--deadline",
    type=Seconds(0, DEADLINE_S_MAX, min_open=True),
    default=DEADLINE_S,
    envvar="STORAGEBUS_DEADLINE",
    show_default=True,
    metavar="SECONDS",
    help="Time for each call, or for each step of a stream.",
)

endpoint_option = click.option(
    "--endpoint",
    envvar="STORAGEBUS_ENDPOINT",
    callback=_endpoints,
    metavar="ADDRESS",
    help=f"{ENDPOINT_HELP}  [STORAGEBUS_ENDPOINT]",
)

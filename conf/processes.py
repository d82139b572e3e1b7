"""Commands that run one process of a bus: broker and worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..drivers.errors import InvalidParameterError
from .faults import faults_option
from .load import load
from .logs import log_option
from .parameters import parameters_option
from .schema import BROKERS_MAX
from .systemd import Systemd
from .termination import ends_on_term

if TYPE_CHECKING:
    from ..broker.loop import Broker
    from .check import Options

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # `load` says why it is not
    envvar="STORAGEBUS_CONFIG",
    help="Configuration file.  [STORAGEBUS_CONFIG]",
)


@click.command()
@config_option
@click.option("--clients", metavar="ADDRESS", help="Where clients connect.")
@click.option("--workers", metavar="ADDRESS", help="Where workers connect.")
@click.option(
    "--number",
    type=click.IntRange(1, BROKERS_MAX),
    metavar="N",
    help="Which of the file's brokers this is, where it has several.",
)
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME",
    help="A service that is expected besides the file's; may be repeated.",
)
@click.option(
    "--allow-unauthenticated-network",
    is_flag=True,
    default=None,
    help="Listen beyond this host although anyone may connect.",
)
@log_option("info")
@ends_on_term()
def broker(
    config: Path | None,
    clients: str | None,
    workers: str | None,
    number: int | None,
    services: tuple[str, ...],
    allow_unauthenticated_network: bool | None,
) -> None:
    """Run a broker until TERM or INT; prints one line when its doors are open.

    Options count more than the environment, and that more than the file.

    \b
    Examples:
      storagebus broker --config storagebus.toml
      storagebus broker --config storagebus.toml --number 2
      storagebus broker --clients tcp://127.0.0.1:7400 --workers tcp://127.0.0.1:7401
    """
    from ..broker import loop
    from ..workers import lifeline
    from .compose import broker_settings, one_broker

    options: dict[Any, tuple[str, object]] = {}
    for key, value in (
        ("clients", clients),
        ("workers", workers),
        ("allow_unauthenticated_network", allow_unauthenticated_network),
    ):
        if value is not None:
            options["broker", key] = f"--{key.replace('_', '-')}", value
    if clients is not None and workers is not None:
        options["broker", "processes"] = "--clients", 1
    configuration = load(config, os.environ, hosts=(), options=options)
    configuration = one_broker(configuration, number)
    for door in ("clients", "workers"):
        if not getattr(configuration.broker, door):
            raise InvalidParameterError(
                f"broker.{door} is missing; set it in the file or give --{door} ADDRESS"
            )
    settings = broker_settings(configuration, services)
    systemd = Systemd()
    fd = lifeline.descriptor()
    if fd is not None:
        lifeline.watch(fd, lifeline.end_group)

    def on_ready(started: Broker) -> None:
        doors = f"clients at {_listed(started.clients)}"
        click.echo(
            f"storagebus: broker ready, {doors}, workers at {_listed(started.workers)}"
        )
        lifeline.tell_ready()
        systemd.ready()

    loop.run(settings, on_ready)


@click.command()
@click.argument("service")
@config_option
@click.option(
    "--endpoint",
    envvar="STORAGEBUS_WORKER_ENDPOINT",
    metavar="ADDRESS",
    help="Workers' door of the broker, or several with commas between them.  "
    "[default: broker.workers of the file]",
)
@click.option("--driver", metavar="NAME", help="Storage driver.")
@parameters_option
@click.option(
    "--slots",
    metavar="N",
    envvar="STORAGEBUS_WORKER_SLOTS",
    help="Calls at once.  [default: 16]",
)
@click.option(
    "--streams",
    metavar="N",
    envvar="STORAGEBUS_WORKER_STREAMS",
    help="Open streams at once.  [default: 1024]",
)
@faults_option
@log_option("info")
@ends_on_term()
def worker(
    service: str,
    config: Path | None,
    endpoint: str | None,
    driver: str | None,
    parameters: dict[str, Any] | None,
    slots: str | None,
    streams: str | None,
    faults: str | None,
) -> None:
    """Run one worker process of a service until TERM, which lets it finish its work.

    With --config the service is described in the file; options count more.

    \b
    Examples:
      storagebus worker default --config storagebus.toml
      storagebus worker scratch --endpoint tcp://127.0.0.1:7401 --driver inmemory
    """
    from ..workers.spawned import FAULTS
    from .hosting import host, with_secrets

    if faults is not None:
        os.environ[FAULTS] = faults  # read where the worker is, perhaps after an exec
    if parameters is not None:
        parameters = with_secrets(parameters)
    options: Options = {
        path: (option, value)
        for path, option, value in (
            (("broker", "workers"), "--endpoint", endpoint),
            (("services", service, "driver"), "--driver", driver),
            (("services", service, "parameters"), "--parameters", parameters),
            (("services", service, "slots"), "--slots", slots),
            (("services", service, "streams"), "--streams", streams),
        )
        if value is not None
    }
    configuration = load(
        config, os.environ, hosts=(service,), options=options, listens=False
    )
    if service not in configuration.services:
        known = ", ".join(configuration.services) or "none"
        raise InvalidParameterError(
            f"no service {service!r} is configured (known: {known}); "
            "give --config FILE or --driver NAME"
        )
    if not configuration.broker.workers:
        raise InvalidParameterError(
            "broker.workers is missing; set it in the file or give --endpoint ADDRESS"
        )
    host(configuration, configuration.services[service])


def _listed(addresses: tuple[str, ...]) -> str:
    return ",".join(addresses)

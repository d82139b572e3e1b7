"""The command up: a broker and its workers, together, until TERM or INT."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ..drivers.errors import InvalidParameterError
from .bus import ASK_S
from .faults import faults_option
from .load import load
from .logs import log_option
from .options import json_option
from .output import print_json
from .parameters import parameters_option
from .private import private_directory
from .problems import NO_SERVICE
from .processes import config_option
from .schema import Configuration
from .systemd import Systemd

if TYPE_CHECKING:
    from ..workers.children import Notice
    from ..workers.manager import Manager
    from .check import Options

SERVICE = "default"
DATA_DIRECTORY = "storagebus-data"
DATA_WORKERS = 2
GRACE_S = 10.0
"""Seconds that workers have to finish their work when all is to end."""
LOOK_S = 0.05
"""How often the broker is asked for workers while some of them are starting."""
WAIT_S = 0.5
"""How often the loop looks around when nothing is starting."""


@click.command()
@config_option
@click.option(
    "--data",
    metavar="DIR",
    help=f"Folder of the objects, without --config.  [default: ./{DATA_DIRECTORY}]",
)
@click.option(
    "--endpoint",
    metavar="ADDRESS",
    help="Where clients connect.  [default: the file's, else a private ipc address]",
)
@click.option(
    "--workers", metavar="N", help="Processes of each service.  [default: 2, or 1]"
)
@click.option(
    "--brokers", metavar="N", help="Brokers, of which clients use any.  [default: 1]"
)
@click.option("--driver", metavar="NAME", help="Serve this driver instead of a folder.")
@parameters_option
@faults_option
@json_option
@log_option("warning")
def up(
    config: Path | None,
    data: str | None,
    endpoint: str | None,
    workers: str | None,
    brokers: str | None,
    driver: str | None,
    parameters: dict[str, Any] | None,
    faults: str | None,
    as_json: bool,
) -> None:
    """Run a broker and its workers until TERM or INT.

    Without --config it serves one service, "default": objects in a local folder, or
    those of --driver. When everybody is there it prints one line with the endpoint.
    Processes that die are started again.

    \b
    Examples:
      storagebus up --data ./objects
      storagebus up --config storagebus.toml
      storagebus up --driver acme --parameters '{"bucket": "b"}' --workers 1
    """
    options = dict(_options(config, data, endpoint, workers, driver, parameters))
    if brokers is not None:
        options["broker", "processes"] = "--brokers", brokers
    configuration = load(config, os.environ, options=options)
    if not configuration.services:
        raise InvalidParameterError(NO_SERVICE)
    systemd = Systemd()
    with _with_doors(configuration) as complete, _signals() as stopping:
        _run(complete, stopping, systemd, faults, as_json=as_json)


def _options(
    config: Path | None,
    data: str | None,
    endpoint: str | None,
    workers: str | None,
    driver: str | None,
    parameters: dict[str, Any] | None,
) -> Options:
    """The command line's part of the configuration."""
    if parameters is not None and driver is None:
        raise click.UsageError("--parameters are those of --driver")
    if config is not None and (data is not None or driver is not None):
        raise click.UsageError("--data and --driver are for use without --config")
    if data is not None and driver is not None:
        raise click.UsageError("--data is the folder of the filesystem driver")
    options: dict[Any, tuple[str, object]] = {}
    if endpoint is not None:
        options["broker", "clients"] = "--endpoint", endpoint
    if driver is not None:
        options["services", SERVICE, "driver"] = "--driver", driver
        options["services", SERVICE, "parameters"] = "--parameters", parameters or {}
    elif config is None:
        folder = str(Path(data or DATA_DIRECTORY).absolute())
        options["services", SERVICE, "driver"] = "--data", "filesystem"
        options["services", SERVICE, "parameters", "rootdirectory"] = "--data", folder
        options["services", SERVICE, "workers"] = "--data", DATA_WORKERS
    if workers is not None:
        names = [SERVICE]
        if config is not None:
            names = list(load(config, os.environ).services)
        for name in names:
            options["services", name, "workers"] = "--workers", workers
    return options


@contextmanager
def _with_doors(configuration: Configuration) -> Iterator[Configuration]:
    """The configuration with addresses for both doors, private ones where none is set.

    Their directory is gone at the end.
    """
    broker = configuration.broker
    directory: Path | None = None
    try:
        doors = {"clients": broker.clients, "workers": broker.workers}
        for door, addresses in doors.items():
            if not addresses:
                directory = directory or private_directory(os.environ)
                names = [door]
                if broker.processes > 1:
                    names = [f"{door}-{n}" for n in range(1, broker.processes + 1)]
                addresses = tuple(f"ipc://{directory / name}" for name in names)
            doors[door] = tuple(map(_with_port, addresses))
        yield replace(
            configuration,
            broker=replace(broker, clients=doors["clients"], workers=doors["workers"]),
        )
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def _with_port(address: str) -> str:
    """The address with a free port in place of 0 or "*": children must be told one."""
    host, _, port = address.rpartition(":")
    if not address.startswith("tcp://") or port not in ("0", "*"):
        return address
    name = host.removeprefix("tcp://").strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind(("" if name == "*" else name, 0))
        return f"{host}:{probe.getsockname()[1]}"


@dataclass(slots=True)
class _Stopping:
    """The wish to end, from signals; the second one hurries."""

    event: threading.Event
    manager: Manager | None = None

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.event.is_set() and self.manager is not None:
            self.manager.stop(grace_s=0)
        self.event.set()


@contextmanager
def _signals() -> Iterator[_Stopping]:
    stopping = _Stopping(threading.Event())
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stopping.on_signal) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(
    configuration: Configuration,
    stopping: _Stopping,
    systemd: Systemd,
    faults: str | None,
    *,
    as_json: bool,
) -> None:
    """Start everything, say when it is ready, and end it.

    Raises:
        StorageError: processes of a pool die again and again; says why.
    """
    from ..workers.manager import Manager
    from .attendance import Attendance
    from .census import Census, broker_clients
    from .compose import broker_specs, worker_spec
    from .keeper import Keeper
    from .obituaries import Obituaries

    workers = [
        worker_spec(configuration, service, os.environ, grace_s=GRACE_S, faults=faults)
        for service in configuration.services.values()
    ]
    with (
        broker_clients(configuration.broker, ASK_S) as clients,
        closing(Obituaries(clients)) as obituaries,
    ):
        census = Census(clients)
        attendance = Attendance(census, configuration)
        keeper = Keeper(census, configuration, workers)

        def on_change(notice: Notice) -> None:
            attendance.on_change(notice)
            obituaries.on_change(notice)

        brokers = broker_specs(configuration, os.environ, grace_s=GRACE_S)
        manager = Manager(brokers, on_change)
        stopping.manager = manager
        try:
            manager.start()
            # Workers would find a broker that comes later, but not as soon.
            while not attendance.broker_is_ready(manager):
                if stopping.event.wait(LOOK_S):
                    return
            for spec in workers:
                manager.add(spec)
            announced = False
            while not stopping.event.wait(LOOK_S if attendance.waits else WAIT_S):
                attendance.look(manager)
                keeper.look(manager, time.monotonic())
                if attendance.complete and not announced:
                    announced = True
                    _announce(configuration, as_json=as_json)
                    systemd.ready()
        finally:
            systemd.stopping()
            manager.stop()


def _announce(configuration: Configuration, *, as_json: bool) -> None:
    endpoint = ",".join(configuration.broker.clients)
    if as_json:
        print_json(
            {
                "endpoint": endpoint,
                "services": list(configuration.services),
                "pid": os.getpid(),
            }
        )
    else:
        click.echo(f"storagebus: ready at {endpoint}")
    sys.stdout.flush()

"""The command conf supervisor: a configuration for supervisord.

One program for the broker, one for each service with a process a worker, and the event
listener that replaces what runs but does not work (`watch`).
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from ..broker.addresses import IPC_PATH_BYTES_MAX, check_address
from ..drivers.errors import InvalidParameterError, StorageError
from ..workers.spawned import GRACE_S_DEFAULT, NAME
from .control import BROKER_PROGRAM, WORKER_PROGRAM_PREFIX
from .drivers import facts
from .environment import variable
from .load import load
from .schema import Configuration, Service

DIRECTORY = "/var/lib/storagebus"
LISTENER_PROGRAM = "storagebus-health-listener"
SOCKET = "supervisor.sock"
WAIT_MARGIN_S = 10
"""After the time for draining: the driver lets go of the rest, and is closed."""
LOG_BYTES_MAX = "10MB"
LOG_BACKUPS = 5
START_RETRIES = 10
"""The waits between them grow by a second each; then the listener tries, once a
minute."""
LISTENER_START_RETRIES = 1_000
"""Nobody would start the listener again."""
_DESCRIPTORS_MIN = 1_024
_DESCRIPTORS_PER_PROCESS = 4
_TEMPORARY_NAME_BYTES = 8
"""supervisord binds its socket under a longer name: with a dot and its pid."""

Sections = Mapping[str, Mapping[str, object]]


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # `load` says why it is not
    required=True,
    envvar="STORAGEBUS_CONFIG",
    help="Configuration file.  [STORAGEBUS_CONFIG]",
)
@click.option(
    "--directory",
    metavar="DIR",
    default=DIRECTORY,
    show_default=True,
    help="Where sockets, logs and pid files go; made if it is not there.",
)
def supervisor(config: Path, directory: str) -> None:
    """Print a configuration for supervisord that runs broker and workers.

    Secrets are left out: what the file refers to is fetched by the workers, from the
    environment that supervisord has or from files.

    \b
    Examples:
      storagebus conf supervisor --config storagebus.toml > supervisord.conf
      storagebus conf supervisor --config bus.toml --directory /srv/bus > bus.conf
    """
    folder = Path(directory).absolute()
    # Secrets are not written, so they need not be there.
    configuration = load(config, os.environ, hosts=())
    text = render(configuration, config.absolute(), folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        click.echo(
            f"storagebus: {folder} cannot be made here ({error.strerror}); "
            "supervisord needs it",
            err=True,
        )
    click.echo(text, nl=False)


def render(configuration: Configuration, config: Path, directory: Path) -> str:
    """The configuration file.

    Args:
        configuration: a checked one.
        config: absolute path of the file that it came from.
        directory: absolute path of the place for sockets, logs and pid files.

    Raises:
        StorageError: it cannot run under supervisord as it is; says why.
    """
    _check(configuration)
    socket = directory / SOCKET
    if len(bytes(socket)) > IPC_PATH_BYTES_MAX - _TEMPORARY_NAME_BYTES:
        raise InvalidParameterError(
            f"--directory {directory} is too long for the path of a Unix socket; "
            "choose a shorter one"
        )
    for what, path in (("--directory", directory), ("--config", config)):
        _check_text(what, str(path))
    doors = _doors(configuration, directory)
    clients = ",".join(configuration.broker.clients) or doors["clients"]
    again = shlex.join(
        ["storagebus", *_conf("supervisor", config), "--directory", str(directory)]
    )
    lines = [
        "; supervisord runs storagebus: broker, workers, and a listener that replaces",
        "; processes that are stuck. Start it:  supervisord -c FILE",
        "; After a change of services, workers or addresses this file is made anew by",
        f";   {again}",
        "; and put into force by:  supervisorctl -c FILE update",
        f"; Clients connect to {clients}",
        "",
    ]
    for name, settings in _sections(configuration, config, directory, doors).items():
        lines += [f"[{name}]", *(f"{k}={v}" for k, v in settings.items()), ""]
    return "\n".join(lines)


def _check(configuration: Configuration) -> None:
    """What would fail only when it runs."""
    if not configuration.services:
        raise InvalidParameterError("no service is configured; add [services.NAME]")
    for service in configuration.services.values():
        if facts(service.driver).shared is False and service.workers > 1:
            raise InvalidParameterError(
                f"services.{service.name}.workers: driver {service.driver!r} keeps "
                "its objects in one process; must be 1"
            )
    for door in ("clients", "workers"):
        for address in getattr(configuration.broker, door):
            try:
                check_address(address)
            except StorageError as error:
                raise InvalidParameterError(
                    f"broker.{door}: {error.detail}, since the others must be told it"
                ) from error


def _doors(configuration: Configuration, directory: Path) -> dict[str, str]:
    """Addresses of the doors for which the file has none."""
    count = configuration.broker.processes
    numbers = [""] if count == 1 else [f"-{number}" for number in range(1, count + 1)]
    return {
        door: ",".join(
            check_address(f"ipc://{directory / door}{number}") for number in numbers
        )
        for door in ("clients", "workers")
        if not getattr(configuration.broker, door)
    }


def _sections(
    configuration: Configuration,
    config: Path,
    directory: Path,
    doors: Mapping[str, str],
) -> Sections:
    services = configuration.services.values()
    processes = configuration.broker.processes + 1
    processes += sum(service.workers for service in services)
    descriptors = max(_DESCRIPTORS_MIN, processes * _DESCRIPTORS_PER_PROCESS + 100)
    supervisord = {
        "identifier": "storagebus",
        "pidfile": directory / "supervisord.pid",
        "logfile": directory / "supervisord.log",
        "logfile_maxbytes": LOG_BYTES_MAX,
        "logfile_backups": LOG_BACKUPS,
        "childlogdir": directory,
        # For supervisord's own pipes: broker and workers raise their limit themselves.
        "minfds": descriptors,
    }
    if doors:
        supervisord["environment"] = ",".join(
            f'{variable(("broker", door))}="{address}"'
            for door, address in doors.items()
        )
    sections: dict[str, Mapping[str, object]] = {
        "unix_http_server": {"file": directory / SOCKET, "chmod": "0700"},
        "supervisord": supervisord,
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": (
                "supervisor.rpcinterface:make_main_rpcinterface"
            )
        },
        "supervisorctl": {"serverurl": f"unix://{directory / SOCKET}"},
        # What has the lowest priority starts first and stops last.
        f"program:{BROKER_PROGRAM}": _broker(configuration, config, directory),
    }
    for service in services:
        program = f"program:{WORKER_PROGRAM_PREFIX}{service.name}"
        sections[program] = _worker(service, config, directory)
    sections[f"eventlistener:{LISTENER_PROGRAM}"] = {
        "command": _command(*_conf("listener", config)),
        "events": "TICK_5",
        "buffer_size": 10,
        # It goes first when all is stopped: who drains is not stuck.
        "priority": 300,
        **_ALWAYS,
        "startretries": LISTENER_START_RETRIES,
        "stopwaitsecs": 10,
        "stdout_logfile": "NONE",
        "stderr_logfile": directory / "health-listener.log",
        "stderr_logfile_maxbytes": LOG_BYTES_MAX,
        "stderr_logfile_backups": LOG_BACKUPS,
    }
    return sections


_ALWAYS = {
    # A worker that has drained ends with 0, and another is to take its place.
    "autorestart": "true",
    "startsecs": 3,
    "startretries": START_RETRIES,
    "stopsignal": "TERM",
    # TERM is for the process alone, which ends in order; KILL takes all it started.
    "stopasgroup": "false",
    "killasgroup": "true",
}


def _broker(
    configuration: Configuration, config: Path, directory: Path
) -> Mapping[str, object]:
    words = ["broker", "--config", str(config)]
    several: dict[str, object] = {}
    name = "broker"
    if configuration.broker.processes > 1:
        name = "broker-%(process_num)d"
        several = {
            "process_name": name,
            "numprocs": configuration.broker.processes,
            "numprocs_start": 1,
        }
    command = _command(*words)
    if several:
        command += " --number %(process_num)d"  # for supervisord to fill in
    return {
        "command": command,
        **several,
        "priority": 100,
        **_ALWAYS,
        "stopwaitsecs": 10,
        **_log(directory, name),
    }


def _worker(service: Service, config: Path, directory: Path) -> Mapping[str, object]:
    number = "%(process_num)d"
    name = f"worker-{service.name}-{number}"
    return {
        "command": _command("worker", service.name, "--config", str(config)),
        "process_name": name,
        "numprocs": service.workers,
        "numprocs_start": 1,
        "environment": f'{NAME}="{name}"',
        "priority": 200,
        **_ALWAYS,
        "stopwaitsecs": f"{GRACE_S_DEFAULT + WAIT_MARGIN_S:.0f}",
        **_log(directory, name),
    }


def _log(directory: Path, name: str) -> Mapping[str, object]:
    return {
        "redirect_stderr": "true",
        "stdout_logfile": directory / f"{name}.log",
        "stdout_logfile_maxbytes": LOG_BYTES_MAX,
        "stdout_logfile_backups": LOG_BACKUPS,
    }


def _conf(command: str, config: Path) -> tuple[str, ...]:
    return "conf", command, "--config", str(config)


def _command(*args: str) -> str:
    """The command line of one of our processes."""
    _check_text("the path of Python", sys.executable)
    return shlex.join([sys.executable, "-P", "-m", "storagebus.conf", *args])


def _check_text(what: str, text: str) -> None:
    """Refuse what supervisord's file cannot hold everywhere.

    It expands % (log files twice), ends values at a space and ; or #, and has no
    escape for quotes.
    """
    bad = [mark for mark in ('"', "'", "%", " ;", " #", "\n", "\r") if mark in text]
    if bad or text != text.strip():
        raise InvalidParameterError(
            f"{what} is {text!r}, which supervisord's configuration cannot hold "
            f"({bad[0] if bad else ' '!r}); use another path"
        )

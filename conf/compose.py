"""From a configuration to what runs: settings of the broker, and child processes."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..broker.settings import BrokerSettings
from ..drivers.errors import InvalidParameterError
from ..workers.children import HOPELESS_CODES, ProcessSpec, Readiness
from ..workers.executable import executable_spec
from ..workers.spawned import FAULTS
from . import exits
from .drivers import facts
from .environment import SERVICES_PREFIX, variable
from .schema import Broker, Configuration, Service

BROKER_WAVE = 0
"""`Manager.stop` ends the workers first, so that they can finish through the broker."""
START_S_MAX = 30.0
"""Until a worker must have joined; it first asks whether its store can be used."""
_HOST_CHARACTERS_MAX = 40
_HOPELESS_CODES = HOPELESS_CODES | {exits.USAGE, exits.INVALID, exits.DENIED}
"""Exit codes of `storagebus worker` after which a restart is of no use."""


def broker_pools(configuration: Configuration) -> list[str]:
    """Names of the pools of brokers; each has one process."""
    count = configuration.broker.processes
    if count == 1:
        return ["broker"]
    return [f"broker {number}" for number in range(1, count + 1)]


def broker_doors(broker: Broker, number: int) -> tuple[tuple[str, ...], ...]:
    """Clients' and workers' addresses of one of the brokers.

    Args:
        broker: with as many addresses as there are brokers, if those are several.
        number: which, from 0.
    """
    if broker.processes == 1:
        return broker.clients, broker.workers
    return broker.clients[number : number + 1], broker.workers[number : number + 1]


def one_broker(configuration: Configuration, number: int | None) -> Configuration:
    """The configuration as one of its brokers needs it, with that one's doors alone.

    Args:
        configuration: a checked one.
        number: which broker, from 1; None where there is but one.

    Raises:
        InvalidParameterError: there is no such broker, or it was not said which.
    """
    broker = configuration.broker
    if number is None and broker.processes == 1:
        return configuration
    if number is None or number > broker.processes:
        raise InvalidParameterError(
            f"the configuration has {broker.processes} brokers; say which one this is "
            "with --number N"
        )
    clients, workers = broker_doors(broker, number - 1)
    name = f"{broker.id}-{number}" if broker.id else ""
    mine = replace(broker, clients=clients, workers=workers, processes=1, id=name)
    return replace(configuration, broker=mine)


def worker_pool(service: str) -> str:
    """Name of the pool of a service's processes."""
    return f"worker {service}"


def program(*args: str) -> tuple[str, ...]:
    """The command line of one of our own processes, which logs as this one does."""
    level = logging.getLevelName(logging.getLogger().level).lower()
    # -P: a file in the current directory must not stand in for a module.
    command = (sys.executable, "-P", "-m", "storagebus.conf", *args)
    return (*command, "--log-level", level)


def broker_settings(
    configuration: Configuration, services: Iterable[str] = ()
) -> BrokerSettings:
    """What a broker is told.

    Args:
        configuration: a checked one, with both doors.
        services: names that are expected besides the configured ones.
    """
    given = configuration.broker
    host = socket.gethostname()[:_HOST_CHARACTERS_MAX]
    return BrokerSettings(
        clients=given.clients,
        workers=given.workers,
        broker_id=given.id or f"{host}:{os.getpid()}",
        services=tuple(dict.fromkeys([*configuration.services, *services])),
        heartbeat_ms=given.heartbeat_ms,
        streams_max=given.streams_max,
        client_streams_max=given.client_streams_max,
        pool_bytes=given.pool_bytes,
        queue_calls_max=given.queue_calls_max,
        queue_bytes_max=given.queue_bytes_max,
    )


def broker_specs(
    configuration: Configuration, environ: Mapping[str, str], *, grace_s: float
) -> list[ProcessSpec]:
    """The brokers as child processes.

    Args:
        configuration: a checked one, with both doors.
        environ: this process's environment, most of which a broker inherits.
        grace_s: seconds from the request to end until it is killed.
    """
    specs = []
    for number, pool in enumerate(broker_pools(configuration)):
        clients, workers = broker_doors(configuration.broker, number)
        args = ["broker"]
        if configuration.origin:
            args += ["--config", configuration.origin]
        args += ["--clients", ",".join(clients), "--workers", ",".join(workers)]
        for name in configuration.services:
            args += ["--service", name]
        env = _hidden(configuration, environ)
        if configuration.broker.id and configuration.broker.processes > 1:
            name = f"{configuration.broker.id}-{number + 1}"
            env[variable(("broker", "id"))] = name
        spec = ProcessSpec(
            pool,
            program(*args),
            env=env,
            ready=Readiness.TOLD,
            grace_s=grace_s,
            surge=False,
            wave=BROKER_WAVE,
            hopeless_codes=_HOPELESS_CODES,
        )
        specs.append(spec)
    return specs


def worker_spec(
    configuration: Configuration,
    service: Service,
    environ: Mapping[str, str],
    *,
    grace_s: float,
    faults: str | None = None,
) -> ProcessSpec:
    """The workers of a service as child processes.

    A driver of this Python runs in `storagebus worker`; any other is an executable,
    which is run itself.

    Args:
        configuration: a checked one, with both doors.
        service: one of its services.
        environ: this process's environment, most of which the workers inherit.
        grace_s: seconds that a worker may drain.
        faults: JSON of a plan by which the workers fail on purpose.
    """
    known = facts(service.driver)
    spec = executable_spec(
        service.driver,
        service.parameters,
        endpoints=configuration.broker.workers,
        service=service.name,
        name=worker_pool(service.name),
        executable=known.executable or sys.executable,
        public=known.public,
        instances=service.workers,
        slots=service.slots,
        streams=service.streams,
        lane_bytes_max=service.lane_bytes_max,
        surge=known.shared is not False,
        start_timeout_s=START_S_MAX,
        grace_s=grace_s,
    )
    env = _hidden(configuration, environ) | dict(spec.env)
    if faults is not None:
        env[FAULTS] = faults
    if known.executable is not None:
        return replace(spec, env=env)
    parameters = spec.argv[1]
    argv = program(
        "worker", service.name, "--driver", service.driver, "--parameters", parameters
    )
    return replace(spec, argv=argv, env=env, hopeless_codes=_HOPELESS_CODES)


def _hidden(
    configuration: Configuration, environ: Mapping[str, str]
) -> dict[str, str | None]:
    """Variables that children do not get: secrets, and what is settled already."""
    names = [name for name in environ if name.startswith(SERVICES_PREFIX)]
    for service in configuration.services.values():
        names += [ref.name for ref in service.references.values() if ref.kind == "env"]
    return dict.fromkeys(names, None)

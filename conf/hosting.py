"""What `storagebus worker` does once it knows the service: host its driver."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NoReturn

from ..drivers.errors import InvalidParameterError
from ..workers.executable import executable_spec
from ..workers.lifeline import LIFELINE_VARIABLE, LINE_BYTES_MAX
from ..workers.spawned import Unfit, read_parameters
from ..workers.worker import run_worker
from .drivers import facts
from .schema import Configuration, Service


def with_secrets(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Put secrets in place that a parent process keeps off the command line.

    Raises:
        InvalidParameterError: the parent has not sent one.
    """
    try:
        return read_parameters(["worker", json.dumps(parameters)], os.environ)
    except Unfit as error:
        raise InvalidParameterError(str(error)) from error


def host(configuration: Configuration, service: Service) -> None:
    """Serve until told to stop.

    A driver that is an executable takes this process over, so that signals and exit
    codes are its own.

    Args:
        configuration: a checked one, with a workers' door.
        service: the service, with its secrets in place.
    """
    executable = facts(service.driver).executable
    if executable is not None:
        _become(executable, configuration, service)
    run_worker(
        configuration.broker.workers,
        service.name,
        service.driver,
        service.parameters,
        slots=service.slots,
        streams=service.streams,
        lane_bytes_max=service.lane_bytes_max,
    )


def _become(
    executable: str, configuration: Configuration, service: Service
) -> NoReturn:
    spec = executable_spec(
        service.driver,
        service.parameters,
        endpoints=configuration.broker.workers,
        service=service.name,
        executable=executable,
        slots=service.slots,
        streams=service.streams,
        lane_bytes_max=service.lane_bytes_max,
    )
    env = dict(os.environ)
    env.update((name, value) for name, value in spec.env.items() if value is not None)
    if spec.secrets:
        env[LIFELINE_VARIABLE] = str(_secrets_pipe(spec.secrets))
    os.execve(executable, spec.argv, env)


def _secrets_pipe(secrets: Mapping[str, Any]) -> int:
    """A descriptor to read the secrets from, that stays open as a lifeline would.

    There is no parent whose end it could tell: the process holds both ends.
    """
    line = json.dumps({"secrets": dict(secrets)}).encode() + b"\n"
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        written = os.write(writing, line) if len(line) <= LINE_BYTES_MAX else 0
    except BlockingIOError:
        written = 0
    if written != len(line):
        raise InvalidParameterError(
            f"the secret parameters take {len(line)} bytes; at most {LINE_BYTES_MAX} "
            "can be handed to the executable"
        )
    os.set_inheritable(reading, True)
    os.set_inheritable(writing, True)
    return reading

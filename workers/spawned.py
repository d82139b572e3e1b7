"""What a parent tells a worker process at its start (PROTOCOL.md section 10)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..broker.addresses import check_addresses
from ..drivers.errors import InvalidParameterError
from .exits import Exit
from .faults import FaultPlan, parse_plan
from .lifeline import descriptor, read_line

ENDPOINT = "STORAGEBUS_WORKER_ENDPOINT"
SERVICE = "STORAGEBUS_WORKER_SERVICE"
COOKIE = "STORAGEBUS_WORKER_COOKIE"
SLOTS = "STORAGEBUS_WORKER_SLOTS"
STREAMS = "STORAGEBUS_WORKER_STREAMS"
GRACE_S = "STORAGEBUS_WORKER_GRACE_S"
NAME = "STORAGEBUS_WORKER_NAME"
LANE_BYTES = "STORAGEBUS_WORKER_LANE_BYTES"
FAULTS = "STORAGEBUS_WORKER_FAULTS"

SLOTS_DEFAULT = 16
STREAMS_DEFAULT = 1_024
GRACE_S_DEFAULT = 30.0
LANE_BYTES_DEFAULT = 67_108_864
LANE_BYTES_MOST = 1 << 40
NUMBER_MAX = 100_000
REFERENCE_KEY = "$secret"
_DEPTH_MAX = 16


class Unfit(Exception):
    """The process was not started as the contract says.

    Args:
        code: exit code.
        detail: what is wrong and what to do, for people.
    """

    def __init__(self, code: Exit, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the environment says; None and "" for what it does not.

    Attributes:
        endpoints: addresses of the brokers' doors for workers.
        service: to be served.
        cookie: one-time word for the greeting.
        name: for people.
        slots: calls at once.
        streams: open streams at once.
        grace_s: seconds that a drain may take.
        fd: the lifeline.
        faults: how to fail on purpose, for tests.
        lane_bytes_max: bytes that all lanes to clients of this host may have.
    """

    endpoints: tuple[str, ...] = ()
    service: str = ""
    cookie: str = ""
    name: str = ""
    slots: int = SLOTS_DEFAULT
    streams: int = STREAMS_DEFAULT
    grace_s: float = GRACE_S_DEFAULT
    fd: int | None = None
    faults: FaultPlan | None = None
    lane_bytes_max: int = LANE_BYTES_DEFAULT


def surroundings(environ: Mapping[str, str]) -> Surroundings:
    """Read the variables of the contract.

    Raises:
        Unfit: one of them makes no sense; says which.
    """
    given = environ.get(ENDPOINT, "")
    try:
        endpoints = check_addresses(given.split(",")) if given else ()
        fd = descriptor(environ=environ)
    except InvalidParameterError as error:
        raise Unfit(Exit.USAGE, f"{ENDPOINT}: {error.detail}") from None
    except ValueError as error:
        raise Unfit(Exit.USAGE, str(error)) from None
    plan = environ.get(FAULTS, "")
    try:
        faults = parse_plan(plan) if plan else None
    except InvalidParameterError as error:
        raise Unfit(Exit.USAGE, f"{FAULTS}: {error.detail}") from None
    return Surroundings(
        endpoints=endpoints,
        service=environ.get(SERVICE, ""),
        cookie=environ.get(COOKIE, ""),
        name=environ.get(NAME, ""),
        slots=int(_number(environ, SLOTS, SLOTS_DEFAULT, 1)),
        streams=int(_number(environ, STREAMS, STREAMS_DEFAULT, 1)),
        grace_s=_number(environ, GRACE_S, GRACE_S_DEFAULT, 0),
        lane_bytes_max=int(
            _number(environ, LANE_BYTES, LANE_BYTES_DEFAULT, 0, LANE_BYTES_MOST)
        ),
        fd=fd,
        faults=faults,
    )


def read_parameters(argv: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """The driver's parameters, with their secrets in place.

    Args:
        argv: command line; its second item is the JSON map.
        environ: environment, which names the descriptor that the secrets come on.

    Raises:
        Unfit: no JSON map, or a secret is missing.
    """
    text = argv[1] if len(argv) > 1 else "-"
    try:
        given = {} if text == "-" else json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        # What it holds is not shown: it may be a secret in the wrong place.
        raise Unfit(
            Exit.PARAMETERS,
            'argv[1] must be a JSON map of parameters, as in \'{"name": "value"}\'',
        )
    if f'"{REFERENCE_KEY}"' not in text:
        return given
    resolved = _resolve(given, _secrets(environ), _DEPTH_MAX)
    assert isinstance(resolved, dict)
    return resolved


def _secrets(environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        fd = descriptor(environ=environ)
        line = b"{}" if fd is None else read_line(fd)
        told = json.loads(line)
    except ValueError as error:
        raise Unfit(Exit.PARAMETERS, f"the parent's line: {error}") from None
    secrets = told.get("secrets", {}) if isinstance(told, dict) else None
    if not isinstance(secrets, dict):
        raise Unfit(Exit.PARAMETERS, "the parent's line is no map with secrets")
    return secrets


def _resolve(value: Any, secrets: Mapping[str, Any], depth: int) -> Any:
    if depth == 0:
        raise Unfit(Exit.PARAMETERS, f"parameters are nested above {_DEPTH_MAX} deep")
    if isinstance(value, list):
        return [_resolve(item, secrets, depth - 1) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {REFERENCE_KEY}:
        return {key: _resolve(item, secrets, depth - 1) for key, item in value.items()}
    reference = value[REFERENCE_KEY]
    if not isinstance(reference, str) or reference not in secrets:
        raise Unfit(Exit.PARAMETERS, f"the parent has sent no secret {reference!r}")
    return secrets[reference]


def _number(
    environ: Mapping[str, str],
    variable: str,
    default: float,
    low: float,
    high: float = NUMBER_MAX,
) -> float:
    text = environ.get(variable, "")
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not low <= number <= high:
        raise Unfit(
            Exit.USAGE,
            f"{variable} is {text!r}; it must be a number from {low:g} to {high:g}",
        )
    return number


class Childhood:
    """The contract as this process was started with it, read once.

    The descriptor's line can be read but once, and the cookie is taken out of the
    environment before anything else is started.
    """

    def __init__(self) -> None:
        self._parameters: dict[str, Any] | None = None
        self._surroundings: Surroundings | None = None

    @property
    def given(self) -> dict[str, Any] | None:
        """The parameters, when they were asked for."""
        return self._parameters

    def parameters(self) -> dict[str, Any]:
        """The driver's parameters.

        Raises:
            Unfit: no JSON map, or a secret is missing.
        """
        if self._parameters is None:
            self._parameters = read_parameters(sys.argv, os.environ)
        return self._parameters

    def surroundings(self) -> Surroundings:
        """What the environment says.

        Raises:
            Unfit: a variable makes no sense.
        """
        if self._surroundings is None:
            self._surroundings = surroundings(os.environ)
            for variable in (COOKIE, FAULTS):
                os.environ.pop(variable, None)
        return self._surroundings


childhood = Childhood()
"""This process's."""

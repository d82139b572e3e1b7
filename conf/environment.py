"""Overrides of the configuration from environment variables.

``STORAGEBUS_BROKER_CLIENTS`` sets `broker.clients`, and
``STORAGEBUS_SERVICES_DEFAULT_PARAMETERS_ROOTDIRECTORY`` sets the parameter
`rootdirectory` of the service `default`. Names are in upper case, and every character
that a variable cannot hold is an underscore.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from .lines import KeyPath
from .problems import Problem, suggestion
from .schema import BROKER_KEYS, SERVICE_KEYS

BROKER_PREFIX = "STORAGEBUS_BROKER_"
SERVICES_PREFIX = "STORAGEBUS_SERVICES_"
_PARAMETERS = "PARAMETERS_"

ParameterNames = Callable[[str, str | None], Iterable[str]]
"""Names of a service's parameters that are known, given the service and the driver
that the environment chose for it."""


def variable(path: KeyPath) -> str:
    """The environment variable that overrides a key."""
    return "_".join(["STORAGEBUS", *(_upper(str(part)) for part in path)])


def overrides(
    environ: Mapping[str, str],
    services: Iterable[str],
    parameter_names: ParameterNames,
) -> tuple[dict[KeyPath, str], list[Problem]]:
    """What the environment sets.

    Args:
        environ: the process's environment.
        services: names of the services in the file; a variable may add others.
        parameter_names: tells how the parameters of a service are spelled.

    Returns:
        Values by the path of their key, and the variables that mean nothing.
    """
    found: dict[KeyPath, str] = {}
    problems: list[Problem] = []
    names = sorted(services, key=len, reverse=True)
    broker_keys = {_upper(key.name): key.name for key in BROKER_KEYS}
    service_keys = {
        _upper(key.name): key.name for key in SERVICE_KEYS if key.name != "parameters"
    }
    pending: list[tuple[str, str, str]] = []
    for name, value in sorted(environ.items()):
        if name.startswith(BROKER_PREFIX):
            key = name.removeprefix(BROKER_PREFIX)
            if key in broker_keys:
                found["broker", broker_keys[key]] = value
            else:
                problems.append(_unknown(name, key, broker_keys.values()))
        elif name.startswith(SERVICES_PREFIX):
            service, key = _service(name.removeprefix(SERVICES_PREFIX), names)
            if key in service_keys:
                found["services", service, service_keys[key]] = value
            elif key.startswith(_PARAMETERS) and key != _PARAMETERS:
                pending.append((service, name, value))
            else:
                known = [*service_keys.values(), "parameters_NAME"]
                wrong = key or service.partition("_")[2].rpartition("_")[2]
                problems.append(_unknown(name, wrong, known))
    # Parameters last: the driver, whose parameters they are, may be overridden too.
    for service, name, value in pending:
        given = name.rpartition(_PARAMETERS)[2]
        driver = found.get(("services", service, "driver"))
        spelled = {_upper(known): known for known in parameter_names(service, driver)}
        parameter = spelled.get(given, given.lower())
        found["services", service, "parameters", parameter] = value
    return found, problems


def _service(rest: str, names: Iterable[str]) -> tuple[str, str]:
    """Split NAME_KEY, where NAME may hold underscores of its own."""
    for name in names:
        if rest.startswith(_upper(name) + "_"):
            return name, rest[len(name) + 1 :]
    keys = "|".join(_upper(key.name) for key in SERVICE_KEYS)
    match = re.fullmatch(rf"(.+?)_((?:{keys})(?:_.*)?)", rest)
    if match is None:
        return rest.lower(), ""
    return match.group(1).lower(), match.group(2)


def _upper(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _unknown(name: str, key: str, known: Iterable[str]) -> Problem:
    return Problem(name, None, "", suggestion(key.lower(), known))

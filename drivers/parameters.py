"""Tables of a driver's parameters: names, kinds, defaults, and which are secrets.

Parameter names are the registry's own, so that an operator's settings work as they
are; and as there, any value may come as a string (from an environment variable).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InvalidParameterError

REQUIRED: Any = object()
"""Default of a parameter that must be given."""

_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a driver.

    Attributes:
        name: as the operator writes it.
        parse: turns the given value into the wanted one, or raises ValueError with
            a message that says what is accepted.
        default: the value without one; `REQUIRED` when there must be one.
        public: whether it may be shown; anything else counts as a secret.
        help: one line for the driver's page and the reference configuration.
    """

    name: str
    parse: Callable[[object], Any]
    default: Any = None
    public: bool = False
    help: str = ""


def parse_parameters(
    driver: str, table: Iterable[Parameter], given: Mapping[str, object]
) -> dict[str, Any]:
    """Check the given parameters against a driver's table.

    Args:
        driver: the driver's name, for the error.
        table: what the driver knows.
        given: what the operator set.

    Returns:
        A value for every parameter of the table.

    Raises:
        InvalidParameterError: names every parameter that is unknown, missing or wrong.
            Values are not shown: they may be secrets.
    """
    known = {parameter.name: parameter for parameter in table}
    problems = [
        f"unknown parameter {name!r} (known: {', '.join(sorted(known)) or 'none'})"
        for name in given
        if name not in known
    ]
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in given:
            values[name] = parameter.default
            if parameter.default is REQUIRED:
                problems.append(f"parameter {name!r} is required")
            continue
        try:
            values[name] = parameter.parse(given[name])
        except (ValueError, TypeError) as error:
            problems.append(f"parameter {name!r}: {error}")
    if problems:
        raise InvalidParameterError("; ".join(problems), driver=driver)
    return values


def text(value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {type(value).__name__}")
    return value


def boolean(value: object) -> bool:
    """A boolean, or the strings that the registry takes for one."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (value in _TRUE or value in _FALSE):
        return value in _TRUE
    raise ValueError("must be true or false")


def whole(low: int, high: int | None = None) -> Callable[[object], int]:
    """A whole number, or a string of one, from `low` to `high`."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError("must be a whole number")
        try:
            number = int(value)
        except ValueError:
            raise ValueError("must be a whole number") from None
        if number < low or (high is not None and number > high):
            top = "up" if high is None else f"to {high}"
            raise ValueError(f"must be a whole number from {low} {top}")
        return number

    return parse

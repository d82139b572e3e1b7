"""Failing on purpose: a plan of faults, and what it decides. Pure.

A worker that is started with a plan breaks at the moments that the plan names, so that
drivers and clients can be tested against what happens once a year (PROTOCOL.md
section 10). `faulty` acts; here it is decided, by the plan's seed and by the order of
the worker's steps alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any, TypeVar

from ..drivers.errors import CODES, InvalidParameterError, StorageError

RULES_MAX = 100
SECONDS_MAX = 86_400.0
STEPS = frozenset(
    {
        *("describe", "stat", "list", "walk", "read", "put", "write", "move"),
        *("delete", "redirect_url", "upload_status", "commit", "close", "cancel"),
    }
)
"""What a worker does: its operations, and the ends of an upload."""

_E = TypeVar("_E", bound=Enum)


class Kind(Enum):
    """What goes wrong."""

    EXIT = "exit"
    SEGV = "segv"
    ABORT = "abort"
    STOP = "stop"
    DISCONNECT = "disconnect"
    HANG = "hang"
    DELAY = "delay"
    ERROR = "error"


class Moment(Enum):
    """When it goes wrong, as seen from the driver's call."""

    CALL = "call"
    RUNNING = "running"
    ANSWER = "answer"
    REPLIED = "replied"


OF_A_CALL = frozenset({Kind.HANG, Kind.DELAY, Kind.ERROR})
"""Kinds that befall the driver's call, and so have no moment beside it."""
BESIDE_A_CALL = frozenset({Moment.RUNNING, Moment.REPLIED})


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to fail.

    Attributes:
        kind: what goes wrong.
        when: at which moment.
        steps: names of `STEPS`.
        probability: above 0, at most 1.
        skip: how many times it would apply first and does not.
        count: how many times it applies at most; None for always.
        seconds: of a delay, or into the call for `Moment.RUNNING`.
        error: what is raised, for `Kind.ERROR`.
        detail: its words.
    """

    kind: Kind
    when: Moment = Moment.CALL
    steps: frozenset[str] = STEPS
    probability: float = 1.0
    skip: int = 0
    count: int | None = None
    seconds: float = 0.0
    error: type[StorageError] = StorageError
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Rules, of which the first that applies counts.

    Attributes:
        rules: in their order.
        seed: of all chance in them; None for one that nobody knows beforehand.
    """

    rules: tuple[Rule, ...]
    seed: int | None = None


class Faults:
    """What a plan decides in one process.

    Args:
        plan: the plan.
        seed: of chance; each rule has its own, so that none depends on the others.

    Attributes:
        struck: how often each rule has applied.
    """

    def __init__(self, plan: FaultPlan, seed: int) -> None:
        self.plan = plan
        self.struck = [0] * len(plan.rules)
        self._skipped = [0] * len(plan.rules)
        self._chances = [Random(f"{seed}/{n}") for n in range(len(plan.rules))]
        self._moments = {rule.when for rule in plan.rules}

    def strike(self, when: Moment, step: str) -> Rule | None:
        """The rule that applies now, if one does; asked once a step and moment.

        Args:
            when: the moment.
            step: a name of `STEPS`.
        """
        if when not in self._moments:
            return None
        for number, rule in enumerate(self.plan.rules):
            if rule.when is when and step in rule.steps and self._applies(number, rule):
                self.struck[number] += 1
                return rule
        return None

    def _applies(self, number: int, rule: Rule) -> bool:
        if rule.count is not None and self.struck[number] >= rule.count:
            return False
        if self._chances[number].random() >= rule.probability:
            return False
        if self._skipped[number] < rule.skip:
            self._skipped[number] += 1
            return False
        return True


def parse_plan(text: str) -> FaultPlan:
    """Read a plan from its JSON.

    Args:
        text: a map with `rules` and perhaps `seed`.

    Raises:
        InvalidParameterError: it makes no sense; names the rule and the key, and what
            is accepted.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong("", f"no JSON ({error})") from None
    if not isinstance(given, dict):
        raise _wrong("", 'must be a map, as in {"rules": [{"kind": "exit"}]}')
    _check_keys("", given, ("rules", "seed"))
    seed = given.get("seed")
    if seed is not None and type(seed) is not int:
        raise _wrong("seed", "must be a whole number")
    rules = given.get("rules")
    if not isinstance(rules, list) or not 0 < len(rules) <= RULES_MAX:
        raise _wrong("rules", f"must be an array of 1 to {RULES_MAX} rules")
    return FaultPlan(tuple(_rule(n, rule) for n, rule in enumerate(rules)), seed)


_KEYS = (
    *("kind", "when", "operations", "probability"),
    *("skip", "count", "seconds", "error", "detail"),
)
_ERRORS = {
    "".join(f"_{c}" if c.isupper() else c for c in cls.__name__.removesuffix("Error"))
    .lstrip("_")
    .upper(): cls
    for cls in CODES.values()
}
"""Errors by their names of PROTOCOL.md section 7."""


def _rule(number: int, given: Any) -> Rule:
    where = f"rules[{number}]"
    if not isinstance(given, dict):
        raise _wrong(where, "must be a map")
    _check_keys(where, given, _KEYS)
    kind = _member(Kind, f"{where}.kind", given.get("kind"))
    when = _member(Moment, f"{where}.when", given.get("when", Moment.CALL.value))
    if kind in OF_A_CALL and when in BESIDE_A_CALL:
        raise _wrong(f"{where}.when", f"{kind.value} is for call and answer only")
    if kind is Kind.DELAY and "seconds" not in given:
        raise _wrong(f"{where}.seconds", "says how long the delay is, and is missing")
    if "error" in given and kind is not Kind.ERROR:
        raise _wrong(f"{where}.error", 'is for the kind "error"')
    name = given.get("error", "STORAGE")
    if not isinstance(name, str) or name not in _ERRORS:
        raise _wrong(f"{where}.error", f"must be one of {', '.join(_ERRORS)}")
    detail = given.get("detail", "a fault on purpose")
    if not isinstance(detail, str):
        raise _wrong(f"{where}.detail", "must be a string")
    probability = _number(given, where, "probability", 1.0, 1.0)
    if probability == 0:
        raise _wrong(f"{where}.probability", "must be above 0 and at most 1")
    return Rule(
        kind,
        when,
        _steps(given, where),
        probability,
        _count(given, where, "skip") or 0,
        _count(given, where, "count"),
        _number(given, where, "seconds", 0.0, SECONDS_MAX),
        _ERRORS[name],
        detail,
    )


def _steps(given: Mapping[str, Any], where: str) -> frozenset[str]:
    named = given.get("operations")
    if named is None:
        return STEPS
    known = ", ".join(sorted(STEPS))
    if not isinstance(named, list) or not named:
        raise _wrong(f"{where}.operations", f"must be an array of {known}")
    for name in named:
        if not isinstance(name, str) or name not in STEPS:
            raise _wrong(f"{where}.operations", f"unknown {name!r}; known: {known}")
    return frozenset(named)


def _number(
    given: Mapping[str, Any], where: str, key: str, default: float, high: float
) -> float:
    value = given.get(key, default)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and 0 <= value <= high:
        return float(value)
    raise _wrong(f"{where}.{key}", f"must be a number from 0 to {high:g}")


def _count(given: Mapping[str, Any], where: str, key: str) -> int | None:
    value = given.get(key)
    if value is not None and (type(value) is not int or value < 0):
        raise _wrong(f"{where}.{key}", "must be a whole number, 0 or more")
    return value


def _member(kinds: type[_E], where: str, value: object) -> _E:
    for member in kinds:
        if member.value == value:
            return member
    raise _wrong(where, f"must be one of {', '.join(m.value for m in kinds)}")


def _check_keys(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise _wrong(where, f"unknown key {key!r}; known: {', '.join(known)}")


def _wrong(where: str, what: str) -> InvalidParameterError:
    return InvalidParameterError(f"plan of faults: {where}{': ' * bool(where)}{what}")

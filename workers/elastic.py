"""How many processes a pool should have: pure, `(load, now) -> instances`.

It grows by one at every look at which work waits, and shrinks by one after the others
could have done all the work for a while, so that a pause between bursts costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..drivers.errors import InvalidParameterError

WORKERS_DEFAULT = 2
WORKERS_MAX = 256
SLOTS_MAX = 1_024
IDLE_S = 30.0
"""How long a pool must have had a process too many before one is ended."""
_KEYS = ("workers", "min", "max", "slots")


@dataclass(frozen=True, slots=True)
class PoolSize:
    """The bounds of a pool.

    Attributes:
        least: processes that always run.
        most: processes at the most.
        slots: calls at once in each; None for the worker's default.
    """

    least: int = WORKERS_DEFAULT
    most: int = WORKERS_DEFAULT
    slots: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, int] | None) -> PoolSize:
        """Read `pool={"workers": n}` or `{"min": n, "max": m}`, with or without slots.

        Raises:
            InvalidParameterError: says which entry is wrong, and what is accepted.
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise InvalidParameterError(
                f'pool: a map like {{"workers": 2, "slots": 4}}, not {given!r}'
            )
        for name in given:
            if name not in _KEYS:
                raise InvalidParameterError(
                    f"pool: unknown entry {name!r} (known: {', '.join(_KEYS)})"
                )
        if "workers" in given and ("min" in given or "max" in given):
            raise InvalidParameterError("pool: either workers, or min and max")
        for name, most in (
            ("slots", SLOTS_MAX),
            *((k, WORKERS_MAX) for k in _KEYS[:3]),
        ):
            value = given.get(name, 1)
            if type(value) is not int or not 1 <= value <= most:
                raise InvalidParameterError(
                    f"pool: {name} is a whole number from 1 to {most}"
                )
        fixed = given.get("workers")
        least = fixed or given.get("min", 1)
        most = fixed or given.get("max", max(least, WORKERS_DEFAULT))
        if least > most:
            raise InvalidParameterError(f"pool: min {least} is above max {most}")
        return cls(least, most, given.get("slots"))


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """How busy a pool is.

    Attributes:
        workers: processes that serve.
        busy: calls and streams that they have.
        slots: calls that they could run at once, all together.
        waiting: calls that found no room.
    """

    workers: int
    busy: int
    slots: int
    waiting: int


class Elastic:
    """The decision, over time.

    Args:
        size: the bounds.

    Attributes:
        instances: what the pool should have.
    """

    def __init__(self, size: PoolSize) -> None:
        self.size = size
        self.instances = size.least
        self._idle_since: float | None = None

    def look(self, load: PoolLoad, now: float) -> int:
        """The number of processes that the pool should have from now on."""
        if load.waiting or load.busy > load.slots:
            self._idle_since = None
            if load.workers >= self.instances:  # else the last one is still starting
                self.instances = min(self.size.most, self.instances + 1)
        elif self.instances == self.size.least or not self._has_one_too_many(load):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= IDLE_S:
            self._idle_since = now
            self.instances -= 1
        return self.instances

    def _has_one_too_many(self, load: PoolLoad) -> bool:
        """Whether the others would be busy by half at most: with less distance, a
        steady load would make the pool grow and shrink in turns."""
        each = load.slots // max(1, load.workers)
        return 2 * load.busy <= (self.instances - 1) * each

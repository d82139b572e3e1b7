"""Which worker processes run but do not work: pure, `(conditions, now) -> faults`.

Whoever starts workers looks at them about once a second, as the broker sees them. One
that does no work is replaced; one that is only slow is left alone, for its calls have
deadlines of their own. This is the one judge of a process: for managed children, for
`storagebus up`, and for the watch beside supervisord, each of which has its own way of
seeing and of acting.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

STOPPED_S_MAX = 4.0
"""How long a process may be stopped by a signal, as somebody who debugs it does."""
STUCK_S_MAX = 10.0
"""How long a process may hold on to a call that nobody waits for any more."""
SILENT_S_MAX = 10.0
"""How long a process may leave the broker's pings unanswered."""
LOST_S_MAX = 10.0
"""How long a process may be without a connection to the broker."""
BROKER_SILENT_S_MAX = 10.0
"""How long a broker may leave questions unanswered."""
STUCK_GRACE_S = 5.0
"""What a process with one stuck call has to finish its other ones."""
GRACE_S = 1.0
"""What a process has that is no use at all."""
LATE_S = 3.0
"""Between two looks; after a longer pause it was the one who looks that stood still."""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Condition:
    """How a worker process is.

    Attributes:
        stuck_s: seconds since which it has not let go of a call that was given up.
        silent_s: seconds since the broker heard of it.
        lost_s: seconds since it had a connection; 0 while it has one.
        stopped_s: seconds since a signal has stopped it; 0 while it runs.
    """

    stuck_s: float = 0.0
    silent_s: float = 0.0
    lost_s: float = 0.0
    stopped_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a process is to be replaced.

    Attributes:
        what: continues "it", as in "answered no ping for 12 s".
        grace_s: seconds that it has to end by itself.
        serves: whether it does other work all the same.
    """

    what: str
    grace_s: float
    serves: bool = False


class Health(Generic[_Key]):
    """The judgement, over time; each process is found at fault once."""

    def __init__(self) -> None:
        self._looked: float | None = None
        self._awake_since = 0.0
        self._found: set[_Key] = set()

    def faults(
        self, conditions: Mapping[_Key, Condition], now: float
    ) -> dict[_Key, Fault]:
        """Who is to be replaced.

        Args:
            conditions: every process that is ready.
            now: seconds.

        Returns:
            Those with a fault that were not returned before.
        """
        if self._looked is None or now - self._looked > LATE_S:
            # While this process stood still (stopped, suspended) nobody could be
            # heard: that time is nobody's fault.
            self._awake_since = now
        self._looked = now
        self._found &= conditions.keys()
        faults: dict[_Key, Fault] = {}
        for key, condition in conditions.items():
            fault = judge(_since(condition, now - self._awake_since))
            if fault is not None and key not in self._found:
                self._found.add(key)
                faults[key] = fault
        return faults


def judge(condition: Condition, silent_s_max: float | None = None) -> Fault | None:
    """Why a process is to be replaced; None when it is not.

    Args:
        condition: how it is.
        silent_s_max: instead of `SILENT_S_MAX`, where heartbeats are long.
    """
    if condition.stopped_s >= STOPPED_S_MAX:
        stopped = f"was stopped by a signal {condition.stopped_s:.0f} s ago"
        return Fault(stopped, GRACE_S)
    if condition.silent_s > (SILENT_S_MAX if silent_s_max is None else silent_s_max):
        return Fault(f"answered no ping for {condition.silent_s:.0f} s", GRACE_S)
    if condition.lost_s > LOST_S_MAX:
        return Fault(f"had no connection for {condition.lost_s:.0f} s", GRACE_S)
    if condition.stuck_s > STUCK_S_MAX:
        held = f"held on to a call {condition.stuck_s:.0f} s after it was given up"
        return Fault(held, STUCK_GRACE_S, serves=True)
    return None


def _since(condition: Condition, awake_s: float) -> Condition:
    """What of a condition can be held against a process."""
    return Condition(
        min(condition.stuck_s, awake_s),
        min(condition.silent_s, awake_s),
        min(condition.lost_s, awake_s),
        min(condition.stopped_s, awake_s),
    )


def judge_broker(silent_s: float) -> Fault | None:
    """Why a broker is to be replaced; None when it is not.

    Args:
        silent_s: seconds for which it has left questions unanswered.
    """
    if silent_s <= BROKER_SILENT_S_MAX:
        return None
    return Fault(f"has not answered for {silent_s:.0f} s", GRACE_S)

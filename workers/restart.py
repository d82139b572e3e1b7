"""When a child process that died is started again, and when that is given up.

Pure: `RestartPolicy.after` takes what has happened and answers what to do. There is no
clock and no chance in it; the jitter comes in as a number.

A first death after readiness costs no wait: it is the kill or the crash that a pool
exists for. What dies again waits, twice as long each time. Deaths before readiness
are counted apart, with a low limit: a program that cannot start will not learn to. A
death by somebody else's signal (an operator's, the kernel's for want of memory) is
no fault of the program; it is waited for, but never the reason to give up. Nor is the
end of one whose store cannot be used: the store will return, or somebody will mend it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DELAY_FIRST_S = 0.2
DELAY_MAX_S = 30.0
DELAY_AFTER_SIGNAL_MAX_S = 2.0
DELAY_FOR_STORE_MAX_S = 10.0
DELAY_FACTOR = 2.0
JITTER_SHARE = 0.5
STABLE_S = 10.0
EARLY_DEATHS_MAX = 3
DEATHS_MAX = 10
_EXPONENT_MAX = 60


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended, as far as a restart depends on it.

    Attributes:
        ready_for_s: seconds from readiness to death; None when it never was ready.
        by_signal: whether a signal from outside ended it (not its own crash).
        hopeless: whether its exit code says that it would end alike again.
        for_store: whether its exit code says that its store cannot be used now.
    """

    ready_for_s: float | None
    by_signal: bool = False
    hopeless: bool = False
    for_store: bool = False

    @property
    def is_excused(self) -> bool:
        """Whether the program is not to blame."""
        return self.for_store or (self.by_signal and self.ready_for_s is not None)


@dataclass(frozen=True, slots=True)
class History:
    """Deaths in a row at one place of a pool.

    Attributes:
        deaths: since a child was last ready for long enough, that count.
        excused: since then, by a signal from outside or for want of the store.
        early: of these, the last ones in a row before readiness.
    """

    deaths: int = 0
    excused: int = 0
    early: int = 0


@dataclass(frozen=True, slots=True)
class RestartAfter:
    """Start it again after so many seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not start it again; the reason continues a sentence on the last death."""

    reason: str


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The numbers of the policy.

    Attributes:
        delay_first_s: wait after the first death in a row that costs one.
        delay_max_s: longest wait.
        delay_after_signal_max_s: longest wait after a signal from outside.
        delay_for_store_max_s: longest wait when the store cannot be used.
        stable_s: a child that was ready for so long clears the history.
        early_deaths_max: deaths in a row before readiness at which to give up.
        deaths_max: deaths in a row, those before readiness included, at which to give
            up.
    """

    delay_first_s: float = DELAY_FIRST_S
    delay_max_s: float = DELAY_MAX_S
    delay_after_signal_max_s: float = DELAY_AFTER_SIGNAL_MAX_S
    delay_for_store_max_s: float = DELAY_FOR_STORE_MAX_S
    stable_s: float = STABLE_S
    early_deaths_max: int = EARLY_DEATHS_MAX
    deaths_max: int = DEATHS_MAX

    def after(
        self, history: History, death: Death, jitter: float
    ) -> tuple[History, RestartAfter | GiveUp]:
        """What to do after a death.

        Args:
            history: the deaths before this one.
            death: this one.
            jitter: from 0 to 1; shortens the wait by up to `JITTER_SHARE` of it, so
                that children that died together do not return together.

        Returns:
            The history with this death in it, and the decision.
        """
        history = self._record(history, death)
        if death.hopeless:
            return history, GiveUp("its exit code says that a restart is of no use")
        if history.early >= self.early_deaths_max:
            return history, GiveUp(
                f"{history.early} times in a row before it was ready"
            )
        if history.deaths >= self.deaths_max:
            return history, GiveUp(
                f"{history.deaths} times in a row, never ready for {self.stable_s:g} s"
            )
        return history, RestartAfter(self._delay_s(history, death, jitter))

    def _record(self, history: History, death: Death) -> History:
        if death.ready_for_s is not None and death.ready_for_s >= self.stable_s:
            history = History()
        if death.is_excused:
            return replace(history, excused=history.excused + 1, early=0)
        early = history.early + 1 if death.ready_for_s is None else 0
        return replace(history, deaths=history.deaths + 1, early=early)

    def _delay_s(self, history: History, death: Death, jitter: float) -> float:
        count = history.deaths + history.excused
        early = death.ready_for_s is None
        if count == 1 and not early:
            return 0.0
        exponent = min(count - 1, _EXPONENT_MAX)
        delay_s = min(self.delay_max_s, self.delay_first_s * DELAY_FACTOR**exponent)
        if death.for_store:
            delay_s = min(delay_s, self.delay_for_store_max_s)
        elif death.is_excused:
            delay_s = min(delay_s, self.delay_after_signal_max_s)
        return delay_s * (1.0 - JITTER_SHARE * min(max(jitter, 0.0), 1.0))

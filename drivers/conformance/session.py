"""Checks requirements against a driver, each under a deadline of its own.

A check runs on a thread that is left behind when it does not end: a driver that hangs
fails the requirement, and must not hang the suite. The driver that it hung in is then
replaced by a new one, since it may hold a lock for ever.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..contract import StorageDriver
from ..errors import DeadlineExceededError, InvalidParameterError
from . import expect
from .bounded import Hung, bounded
from .case import CLEARING_PAUSES_SECONDS, Case, LeftBehind
from .report import Outcome, Result
from .requirement import Requirement, Tier

SECONDS_MAX: Mapping[Tier, float] = {Tier.SHORT: 30.0, Tier.LONG: 3600.0}
MAKING_SECONDS_MAX = 30.0
CLOSING_SECONDS_MAX = 30.0
CLEARING_SECONDS_MAX = 5.0
HANGS_MAX = 3

MakeDriver = Callable[[], StorageDriver]


class Instances:
    """The instances of a driver that a session uses.

    Args:
        make_driver: makes a new instance over the same store at each call.
    """

    def __init__(self, make_driver: MakeDriver) -> None:
        self._make_driver = make_driver
        self._made: list[StorageDriver] = []
        self._second: StorageDriver | None = None
        self.first = self.fresh()
        # Asked for once, within the bound of the making: a client may have to wait.
        self.name = self.first.name
        self.capabilities = self.first.capabilities

    def fresh(self) -> StorageDriver:
        """A new instance.

        Raises:
            InvalidParameterError: `make_driver` returned one that it returned before.
        """
        driver = self._make_driver()
        if any(driver is known for known in self._made):
            raise InvalidParameterError("make_driver returned the same driver twice")
        self._made.append(driver)
        return driver

    def second(self) -> StorageDriver:
        """The second instance, which all requirements share."""
        if self._second is None:
            self._second = self.fresh()
        return self._second

    def close(self) -> None:
        """Close every instance, the first one last."""
        for driver in reversed(self._made):
            driver.close()


class Session:
    """One run of the suite against one driver.

    Args:
        make_driver: makes a new instance over the same store at each call.
        seed: all random content depends on it.
        long: whether requirements of the long tier are checked too.
        seconds_max: deadline of a requirement in seconds, by its tier.
    """

    def __init__(
        self,
        make_driver: MakeDriver,
        *,
        seed: str,
        long: bool = False,
        seconds_max: Mapping[Tier, float] = SECONDS_MAX,
    ) -> None:
        self._make_driver = make_driver
        self._seed = seed
        self._long = long
        self._seconds_max = seconds_max
        self._hangs = 0
        self._pauses: Sequence[float] = CLEARING_PAUSES_SECONDS
        self._given_up = ""
        self._instances = self._make_instances()
        self.driver_name = self._instances.name

    def run(self, requirements: Sequence[Requirement]) -> Iterator[Result]:
        """Check requirements in turn; each result comes as it is decided."""
        return map(self.check, requirements)

    def check(self, requirement: Requirement) -> Result:
        """Check one requirement."""
        capabilities = self._instances.capabilities
        reason = requirement.why_left_out(capabilities, long=self._long)
        if reason is not None:
            return _result(requirement, Outcome.LEFT_OUT, reason)
        if self._given_up:
            return _result(requirement, Outcome.FAILED, self._given_up)
        case = Case(
            self._instances.first,
            requirement.name,
            self._seed,
            second=self._instances.second,
            fresh=self._instances.fresh,
            seconds_max=self._seconds_max[requirement.tier],
        )
        started = time.monotonic()
        failure = self._check_and_tidy(requirement, case)
        seconds = time.monotonic() - started
        if isinstance(failure, Hung):
            self._replace_driver(case.top)
        outcome = Outcome.FAILED if failure else Outcome.PASSED
        return _result(requirement, outcome, _reason(failure), seconds)

    def close(self) -> Result | None:
        """Close the driver; the failure of a requirement of its own, or None."""
        started = time.monotonic()
        failure = bounded(self._instances.close, CLOSING_SECONDS_MAX)
        if failure is None:
            return None
        seconds = time.monotonic() - started
        sentence = "Closing the driver after all else ends, without an error."
        reason = _reason(failure)
        return Result("driver.ends", sentence, Outcome.FAILED, seconds, reason)

    def _check_and_tidy(
        self, requirement: Requirement, case: Case
    ) -> BaseException | None:
        """Check, and tidy up after it; what went wrong, or None."""

        def check_and_tidy() -> None:
            try:
                requirement.check(case)
            except BaseException:
                # What the check failed of says more than what is left behind.
                with suppress(Exception):
                    self._tidy(case)
                raise
            self._tidy(case)

        return bounded(check_and_tidy, self._seconds_max[requirement.tier])

    def _tidy(self, case: Case) -> None:
        try:
            case.tidy(self._pauses)
        except LeftBehind:
            # It does not catch up, so there is no point in waiting again.
            self._pauses = self._pauses[:1]
            raise

    def _replace_driver(self, top: str) -> None:
        """Go on with a new driver, and remove what the check left behind."""
        self._hangs += 1
        # Closing may hang as well; nobody waits for it.
        bounded(self._instances.close, 0.0)
        try:
            self._instances = self._make_instances()
        except Exception as error:
            text = expect.shown(error)
            self._given_up = f"not tried: no driver after one that hung: {text}"
            return
        delete = partial(self._instances.first.delete, top)
        bounded(delete, CLEARING_SECONDS_MAX)
        if self._hangs == HANGS_MAX:
            self._given_up = f"not tried: {HANGS_MAX} requirements did not end"

    def _make_instances(self) -> Instances:
        """The first instance of the driver, within a bound.

        Raises:
            DeadlineExceededError: it could not be made in time.
            StorageError: whatever else making it raises.
        """
        made: list[Instances] = []
        make = partial(Instances, self._make_driver)
        failure = bounded(lambda: made.append(make()), MAKING_SECONDS_MAX)
        if isinstance(failure, Hung):
            raise DeadlineExceededError(f"making the driver {failure}")
        if failure is not None:
            raise failure
        return made[0]


def _reason(failure: BaseException | None) -> str:
    """A failure on one line; an unexpected error says which line of a check met it."""
    if failure is None:
        return ""
    if isinstance(failure, (expect.Failure, Hung)):
        return str(failure)
    here = Path(__file__).parent
    frames = traceback.extract_tb(failure.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).parent == here]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}: " if ours else ""
    return f"{where}unexpected {type(failure).__name__}: {expect.shown(failure)}"


def _result(
    requirement: Requirement, outcome: Outcome, reason: str, seconds: float = 0.0
) -> Result:
    return Result(requirement.name, requirement.sentence, outcome, seconds, reason)

"""What the suite found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Outcome(Enum):
    """How a requirement ended."""

    PASSED = "passed"
    FAILED = "failed"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one requirement.

    Attributes:
        name: the requirement's stable name.
        sentence: what is required.
        outcome: passed, failed, or left out because it does not apply.
        seconds: how long it took.
        reason: why it failed or was left out; "" when it passed.
    """

    name: str
    sentence: str
    outcome: Outcome
    seconds: float = 0.0
    reason: str = ""

    def line(self) -> str:
        """The result on one line."""
        if self.outcome is Outcome.LEFT_OUT:
            return f"{self.outcome.value:8}  {self.name}: {self.reason}"
        line = f"{self.outcome.value:8}  {self.name}  {self.seconds:.3f} s"
        if not self.reason:
            return line
        return f"{line}  {self.reason}  [required: {self.sentence}]"

    def to_fields(self) -> dict[str, Any]:
        """A map of plain values, for JSON."""
        return {
            "name": self.name,
            "sentence": self.sentence,
            "outcome": self.outcome.value,
            "seconds": round(self.seconds, 6),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The results of one run of the suite.

    Attributes:
        driver: name of the driver.
        seed: give it to the next run to repeat this one's random content.
        results: one a requirement, in the order they were decided.
    """

    driver: str
    seed: str
    results: tuple[Result, ...]

    @property
    def passed(self) -> tuple[Result, ...]:
        """What the driver does."""
        return self._of(Outcome.PASSED)

    @property
    def failed(self) -> tuple[Result, ...]:
        """What the driver does not do."""
        return self._of(Outcome.FAILED)

    @property
    def left_out(self) -> tuple[Result, ...]:
        """What does not apply to the driver, or was not asked for."""
        return self._of(Outcome.LEFT_OUT)

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and something was tried."""
        return bool(self.passed) and not self.failed

    def lines(self) -> Iterator[str]:
        """The whole report: what was tried, then `closing_lines`."""
        for result in self.results:
            if result.outcome is not Outcome.LEFT_OUT:
                yield result.line()
        yield from self.closing_lines()

    def closing_lines(self) -> Iterator[str]:
        """What was left out and why, then the count: "N passed, N failed"."""
        for result in self.left_out:
            yield result.line()
        yield f"{len(self.passed)} passed, {len(self.failed)} failed"

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def to_fields(self) -> dict[str, Any]:
        """A map of plain values, for JSON."""
        return {
            "driver": self.driver,
            "seed": self.seed,
            "ok": self.ok,
            "passed": len(self.passed),
            "failed": len(self.failed),
            "left_out": len(self.left_out),
            "results": [result.to_fields() for result in self.results],
        }

    def _of(self, outcome: Outcome) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.outcome is outcome)

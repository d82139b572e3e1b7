"""What a benchmark finds: a figure beside its aim, and the tables made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be.

    Attributes:
        sign: ">=" or "<=".
        value: in the figure's unit.
    """

    sign: str
    value: float

    def met(self, value: float) -> bool:
        """Whether a figure is as good as this."""
        return value >= self.value if self.sign == ">=" else value <= self.value


def at_least(value: float) -> Aim:
    """A figure that should be high."""
    return Aim(">=", value)


def at_most(value: float) -> Aim:
    """A figure that should be low."""
    return Aim("<=", value)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        what: what was measured.
        value: a ratio, or so many of `unit`; None where it cannot be measured.
        aim: what it should be; None for lines that are there to compare with.
        measured: both sides of a ratio, in their own unit; or why there is none.
        unit: "" for a ratio.
    """

    what: str
    value: float | None
    aim: Aim | None = None
    measured: str = ""
    unit: str = ""

    def fields(self) -> dict[str, Any]:
        """The figure for machines."""
        aim = self.aim
        return {
            "what": self.what,
            "value": None if self.value is None else round(self.value, 4),
            "unit": self.unit,
            "measured": self.measured,
            "aim": None if aim is None else f"{aim.sign} {aim.value:g}",
            "met": None if aim is None or self.value is None else aim.met(self.value),
        }

    def cells(self) -> tuple[str, str, str, str]:
        """The figure for people: what, both sides, the value, the aim."""
        if self.value is None:
            shown = "-"
        elif self.unit:
            shown = f"{self.value:.0f} {self.unit}"
        else:
            shown = f"{self.value:.2f}"
        aim = ""
        if self.aim is not None:
            sign = {">=": "≥", "<=": "≤"}[self.aim.sign]
            aim = f"{sign} {self.aim.value:g} {self.unit}".strip()
        return self.what, self.measured, shown, aim


HEADS = ("what", "measured", "ratio or growth", "aim")


def line(figure: Figure) -> str:
    """One line for a terminal."""
    what, measured, shown, aim = figure.cells()
    return f"{what:64} {measured:30} {shown:>9}  {aim}"


def markdown(figures: Iterable[Figure]) -> str:
    """The table for a page."""
    rows = [HEADS, ("---",) * len(HEADS), *(figure.cells() for figure in figures)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)

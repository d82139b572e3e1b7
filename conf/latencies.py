"""Times of very many operations in little memory. Pure."""

from __future__ import annotations

import math

STEPS_A_DOUBLING = 32
"""So that a percentile is at most some 2 % off."""
LEAST_S = 1e-6
STEPS_MAX = STEPS_A_DOUBLING * 40
"""A step for 12 days; longer times count as that long."""


class Latencies:
    """A histogram of seconds, in steps that grow with what they hold.

    Attributes:
        count: times recorded.
        longest: the longest of them, in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._steps: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Record a time."""
        step = 0
        if seconds > LEAST_S:
            step = int(math.log2(seconds / LEAST_S) * STEPS_A_DOUBLING)
        step = min(step, STEPS_MAX)
        self._steps[step] = self._steps.get(step, 0) + 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def merge(self, other: Latencies) -> None:
        """Take over what another has recorded."""
        for step, count in other._steps.items():
            self._steps[step] = self._steps.get(step, 0) + count
        self.count += other.count
        self.longest = max(self.longest, other.longest)

    def percentile(self, part: float) -> float:
        """The time in seconds within which so large a part of all was done; 0 of none.

        Args:
            part: above 0 and up to 1, as 0.99.
        """
        due = math.ceil(part * self.count)
        for step in sorted(self._steps):
            due -= self._steps[step]
            if due <= 0:
                upper: float = LEAST_S * 2.0 ** ((step + 1) / STEPS_A_DOUBLING)
                return min(upper, self.longest)
        return self.longest

"""How a worker of several brokers divides its slots and streams among them. Pure.

Brokers do not know of one another, so the worker tells each how much it may send
(UPDATE), in numbers that together are never more than there is. What one broker does
not use is lent to another that uses all it has: max-min fairness over what each wants.
For a moment, while an UPDATE is under way, calls may overlap; they wait for a slot in
the worker, as no more than `slots` run whatever the brokers send.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RESHARE_S = 0.1
"""Shortest time between two divisions."""
REVIEW_S = 1.0
"""After so long without a division, what is not used any more can be lent."""
SPARE_PART = 8
"""A broker that uses less than it has keeps this part of an equal share, one at least,
above what it uses, so that its next calls need not wait for a division."""


@dataclass(slots=True)
class Use:
    """What one broker may send of one kind, and what it has sent.

    Attributes:
        told: what it may have open at once.
        now: what it has open.
        peak: the most that it had open since the last division.
    """

    told: int
    now: int = 0
    peak: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it could have used more."""
        return self.peak >= self.told

    def add(self) -> None:
        """One more is open."""
        self.now += 1
        self.peak = max(self.peak, self.now)

    def drop(self) -> None:
        """One has ended."""
        self.now -= 1

    def give(self, share: int) -> bool:
        """A new division; whether it changed anything."""
        changed = share != self.told
        self.told = share
        self.peak = self.now
        return changed


def divide(total: int, uses: Sequence[Use]) -> list[int]:
    """The share of each broker; one at least, else as much as it wants and is fair.

    Args:
        total: what there is.
        uses: of each broker, in their order.
    """
    parts = len(uses)
    spare = max(1, total // parts // SPARE_PART) if parts else 0
    wants = [total if use.is_full else min(total, use.peak + spare) for use in uses]
    shares = [0] * parts
    left = total
    # Who wants least is served first; who wants more shares what is left.
    order = sorted(range(parts), key=wants.__getitem__)
    for place, index in enumerate(order):
        fair = left // (parts - place)
        shares[index] = max(1, min(wants[index], fair))
        left = max(0, left - shares[index])
    # What nobody wants now is divided too: a share costs nothing while it is not used.
    for place, index in enumerate(order):
        more = -(-left // (parts - place))
        shares[index] += more
        left -= more
    return shares


def equal(total: int, place: int, parts: int) -> int:
    """The share of one of so many brokers of which nothing is known yet."""
    return max(1, total // parts + (place < total % parts))

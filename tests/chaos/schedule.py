"""What strikes whom, and when: seeded. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

STRIKES = (
    *("kill-worker", "kill-broker", "kill-client"),
    *("stop-worker", "stop-broker", "term-worker", "term-broker"),
    *("cut", "delay", "reset", "unplug"),
    *("store:stall", "store:errors", "store:reset"),
)
KILL_EVERY_S = 0.3
CALM: Mapping[str, float] = {
    "kill-worker": KILL_EVERY_S * 1.25,
    "kill-broker": KILL_EVERY_S * 5.0,
    "kill-client": 15.0,
    "stop-worker": 4.0,
    "stop-broker": 8.0,
    "term-worker": 4.0,
    "term-broker": 10.0,
    "cut": 10.0,
    "delay": 10.0,
    "reset": 5.0,
    "unplug": 10.0,
    "store:stall": 12.0,
    "store:errors": 12.0,
    "store:reset": 6.0,
}
"""Mean seconds between two of a kind. The two first make one kill every 300 ms."""
STORE_LASTS = ("store:stall", "store:errors")
STANDSTILL_S = (0.1, 7.0)
CUT_S = (0.2, 6.0)


@dataclass(frozen=True, slots=True)
class Strike:
    """One thing that goes wrong.

    Attributes:
        at: seconds from the beginning.
        kind: one of `STRIKES`.
        choice: from 0 to 1, chooses among those that can be struck then.
        seconds: how long it lasts, where it does.
    """

    at: float
    kind: str
    choice: float
    seconds: float


def strikes(seed: int, every_s: Mapping[str, float] = CALM) -> Iterator[Strike]:
    """Strikes in the order of time, without end.

    Args:
        seed: decides everything.
        every_s: mean seconds between two of a kind; what is missing does not happen.
    """
    chance = random.Random(f"strikes/{seed}")
    due = {kind: chance.random() * mean for kind, mean in every_s.items()}
    while due:
        kind = min(due, key=due.__getitem__)
        lasts = (
            CUT_S if kind in ("cut", "delay", "unplug", *STORE_LASTS) else STANDSTILL_S
        )
        yield Strike(due[kind], kind, chance.random(), chance.uniform(*lasts))
        # Even beats for the kills, as "one every 300 ms" says; chance for the rest.
        mean = every_s[kind]
        due[kind] += mean if mean < 2 else chance.uniform(0.3, 1.7) * mean

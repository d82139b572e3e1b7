"""What a broker has to tell its owner: who joined, left, or was turned away. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Hello, Reason

NOTICES_MAX = 1_000
"""Notices that are kept for an owner who does not look; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker serves.

    Attributes:
        hello: what it says of itself.
        worker: its id in `status` and `drain`.
    """

    hello: Hello
    worker: str


@dataclass(frozen=True, slots=True)
class Left:
    """A worker's session is over."""

    hello: Hello
    worker: str


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A peer was refused for good.

    Attributes:
        hello: what it says of itself.
        reason: as in its GOAWAY.
        detail: as in its GOAWAY.
    """

    hello: Hello
    reason: Reason
    detail: str


Notice = Joined | Left | TurnedAway

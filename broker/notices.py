"""What a broker has to tell its owner: who joined, left, or was turned away. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Hello, Reason

NOTICES_MAX = 1_000
"""Notices that are kept for an owner who does not look; the oldest go first."""
NOTICES_A_SECOND_MAX = 20
"""Lines that notices may take in a log in one second."""


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


class NoticeRate:
    """Which notices are worth a line in a log: no peer may fill it by knocking.

    Attributes:
        silenced: notices of this second that were not.
    """

    def __init__(self) -> None:
        self.silenced = 0
        self._second = 0.0
        self._told = 0

    def may_tell(self, now: float) -> bool:
        """Whether one more may be told now; if not, it is counted."""
        if self._told < NOTICES_A_SECOND_MAX:
            if self._told == 0:
                self._second = now
            self._told += 1
            return True
        self.silenced += 1
        return False

    def passed(self, now: float) -> int:
        """How many were silenced in a second that is over now; each is said once."""
        if now - self._second < 1.0:
            return 0
        silenced, self.silenced, self._told = self.silenced, 0, 0
        return silenced

"""The clock of a worker's drain. Pure; PROTOCOL.md section 5.4."""

from __future__ import annotations

WELCOME_S = 1.0
"""How long a broker that was just greeted may take to welcome the worker: it may have
sent work right behind its WELCOME."""
FENCE_S = 5.0
"""How long a broker may take to say that no OPEN follows."""
PART_S = 1.0
"""How long a broker may take to answer DRAINED."""
FINAL_S = 2.0
"""How long the driver may take to let go of what is left after the grace."""


class Drain:
    """When a drain began, and what it is time for.

    Attributes:
        begun: whether there is one.
    """

    def __init__(self) -> None:
        self.begun = False
        self._welcome_at = 0.0
        self._fence_at = 0.0
        self._grace_at = 0.0
        self._seen = 0.0
        self._told = False

    def begin(self, grace_s: float, now: float) -> bool:
        """Begin; False when it had begun before."""
        if self.begun:
            return False
        self.begun = True
        self._grace_at = now + max(0.0, grace_s)
        self._fence_at = min(now + FENCE_S, self._grace_at)
        self._welcome_at = min(now + WELCOME_S, self._fence_at)
        self._seen = now
        return True

    def is_unwelcome(self, now: float) -> bool:
        """Whether a broker that has not answered a greeting is left alone."""
        return now >= self._welcome_at

    def is_unanswered(self, now: float) -> bool:
        """Whether a broker that has not answered DRAIN need not be waited for."""
        return now >= self._fence_at

    def is_over_time(self, now: float) -> bool:
        """Whether the grace is over; said once."""
        self._seen = now
        if self._told or now < self._grace_at:
            return False
        self._told = True
        return True

    def is_final(self, now: float) -> bool:
        """Whether nothing is waited for any more."""
        return now >= self._grace_at + FINAL_S

    def next_deadline(self) -> float | None:
        """When one of these changes next; None without a drain."""
        if not self.begun:
            return None
        final = self._grace_at + FINAL_S
        moments = (self._welcome_at, self._fence_at, self._grace_at, final)
        return next((moment for moment in moments if moment > self._seen), final)

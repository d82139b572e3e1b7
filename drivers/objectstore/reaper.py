"""Rounds that drop uploads nobody will go on with: when, and one at a time."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime

from .clients import Clients
from .store import attempt

SECONDS_BETWEEN = 3_600.0
ENTRIES_MAX = 50_000
"""Keys looked at in one round."""


class Reaper(ABC):
    """Drops uploads that are older than the parameter `uploadage`.

    Args:
        clients: whose threads do the work.
        age_s: the age, in seconds; 0 never drops any.
    """

    def __init__(self, clients: Clients, age_s: float) -> None:
        self._clients = clients
        self._age_s = age_s
        self._next_at_s = 0.0
        self._busy = threading.Lock()

    def upload_made(self) -> None:
        """Called whenever an upload begins; at times this starts a round."""
        now_s = time.monotonic()
        if not self._age_s or now_s < self._next_at_s:
            return
        self._next_at_s = now_s + SECONDS_BETWEEN
        self._clients.submit(attempt, self._work_alone)

    @abstractmethod
    def work(self, now: datetime) -> int:
        """Do one round; returns how many uploads were dropped.

        Args:
            now: the time by which age is told.
        """

    def is_old(self, modified: datetime, now: datetime) -> bool:
        """Whether what was last changed then may go."""
        return (now - modified).total_seconds() >= self._age_s

    def _work_alone(self) -> None:
        if self._busy.acquire(blocking=False):
            try:
                self.work(datetime.now(UTC))
            finally:
                self._busy.release()

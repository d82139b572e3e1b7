"""Dropping uploads that nobody will go on with: found by the age of their last step."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from itertools import islice

from .container import Container, attempt
from .uploads import Uploads

SECONDS_BETWEEN = 3_600.0
UPLOADS_MAX = 50_000
"""Uploads looked at in one round."""


class Reaper:
    """Drops uploads whose last step is older than the parameter `uploadage`.

    A writer takes a step every few blocks, so one at work is never old. Blocks that no
    list names the service drops itself, a week after the last was staged.

    Args:
        container: where the uploads are.
        uploads: the uploads.
    """

    def __init__(self, container: Container, uploads: Uploads) -> None:
        self._container = container
        self._uploads = uploads
        self._next_at_s = 0.0
        self._busy = threading.Lock()

    def upload_made(self) -> None:
        """Called whenever an upload begins; at times this starts a round."""
        now_s = time.monotonic()
        if not self._container.options.uploadage or now_s < self._next_at_s:
            return
        self._next_at_s = now_s + SECONDS_BETWEEN
        self._container.clients.submit(attempt, self._work_alone)

    def _work_alone(self) -> None:
        if self._busy.acquire(blocking=False):
            try:
                self.work(datetime.now(UTC))
            finally:
                self._busy.release()

    def work(self, now: datetime) -> int:
        """Look at the uploads; returns how many were dropped.

        Args:
            now: the time by which age is told.
        """
        dropped = 0
        for staging, step in islice(self._uploads.below(), UPLOADS_MAX):
            age_s = 0.0
            if step.mod_time is not None:
                age_s = (now - step.mod_time).total_seconds()
            if age_s >= self._container.options.uploadage:
                dropped += staging.erase(step)
        return dropped

"""Dropping uploads that nobody will go on with: found by the age of their last step."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from ..objectstore.reaper import ENTRIES_MAX, Reaper
from .container import Container
from .uploads import Uploads


class AzureReaper(Reaper):
    """Drops uploads whose last step is old.

    A writer takes a step every few blocks, so one at work is never old. Blocks that no
    list names the service drops itself, a week after the last was staged.

    Args:
        container: where the uploads are.
        uploads: the uploads.
    """

    def __init__(self, container: Container, uploads: Uploads) -> None:
        super().__init__(container.clients, container.options.uploadage)
        self._uploads = uploads

    def work(self, now: datetime) -> int:
        dropped = 0
        for staging, step in islice(self._uploads.below(), ENTRIES_MAX):
            if step.mod_time is not None and self.is_old(step.mod_time, now):
                dropped += staging.erase(step)
        return dropped

"""Dropping uploads that nobody will go on with: found by the age of their records."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from .bucket import Bucket, attempt
from .listing import pages
from .uploads import LINK, UPLOAD_ID, Uploads

SECONDS_BETWEEN = 3_600.0
PAGES_MAX = 50
"""Pages of records looked at in one round; the next round goes on behind them."""


class Reaper:
    """Drops uploads whose last record is older than the parameter `uploadage`.

    Args:
        bucket: where the records are.
        uploads: the uploads to the bucket.
    """

    def __init__(self, bucket: Bucket, uploads: Uploads) -> None:
        self._bucket = bucket
        self._uploads = uploads
        self._next_at_s = 0.0
        self._behind = ""
        self._busy = threading.Lock()

    def upload_made(self) -> None:
        """Called whenever an upload begins; at times this starts a round."""
        now_s = time.monotonic()
        if not self._bucket.options.uploadage or now_s < self._next_at_s:
            return
        self._next_at_s = now_s + SECONDS_BETWEEN
        self._bucket.clients.submit(attempt, self._work_alone)

    def _work_alone(self) -> None:
        if self._busy.acquire(blocking=False):
            try:
                self.work(datetime.now(UTC))
            finally:
                self._busy.release()

    def work(self, now: datetime) -> int:
        """Look at the next records; returns how many uploads were dropped.

        Args:
            now: the time by which age is told.
        """
        dropped = 0
        newest: dict[tuple[str, str], datetime] = {}
        for key, modified in self._entries():
            owner, _, rest = key[len(self._bucket.uploads) :].partition("/~")
            upload_id = rest.partition("/")[0]
            if not UPLOAD_ID.fullmatch(upload_id):
                if rest == LINK[1:]:
                    newest.setdefault((f"/{owner}", ""), modified)
                continue
            name = (f"/{owner}", upload_id)
            newest[name] = max(modified, newest.get(name, modified))
        for (path, upload_id), modified in newest.items():
            if (now - modified).total_seconds() < self._bucket.options.uploadage:
                continue
            if upload_id:
                dropped += self._uploads.drop(self._uploads.chain(path, upload_id))
            else:
                attempt(lambda path=path: self._uploads.remove_dead_link(path))  # type: ignore[misc]
        return dropped

    def _entries(self) -> Iterator[tuple[str, datetime]]:
        listing = pages(
            self._bucket, self._bucket.uploads, None, start_after=self._behind
        )
        count = 0
        for page in islice(listing, PAGES_MAX):
            count += 1
            for entry in page.objects:
                self._behind = entry["Key"]
                yield entry["Key"], entry["LastModified"]
        if count < PAGES_MAX:
            self._behind = ""

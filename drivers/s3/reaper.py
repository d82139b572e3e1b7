"""Dropping uploads that nobody will go on with: found by the age of their records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from ..objectstore.reaper import ENTRIES_MAX, Reaper
from ..objectstore.store import attempt
from .bucket import Bucket
from .uploads import LINK, UPLOAD_ID, Uploads


class S3Reaper(Reaper):
    """Drops uploads whose last record is old.

    A round goes on where the one before it ended.

    Args:
        bucket: where the records are.
        uploads: the uploads to the bucket.
    """

    def __init__(self, bucket: Bucket, uploads: Uploads) -> None:
        super().__init__(bucket.clients, bucket.options.uploadage)
        self._bucket = bucket
        self._uploads = uploads
        self._behind = ""

    def work(self, now: datetime) -> int:
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
            if not self.is_old(modified, now):
                continue
            if upload_id:
                dropped += self._uploads.drop(self._uploads.chain(path, upload_id))
            else:
                attempt(lambda path=path: self._uploads.remove_dead_link(path))  # type: ignore[misc]
        return dropped

    def _entries(self) -> Iterator[tuple[str, datetime]]:
        listing = self._bucket.entries(
            self._bucket.uploads, None, start_after=self._behind
        )
        count = 0
        for key, found in islice(listing, ENTRIES_MAX):
            count += 1
            self._behind = key
            if found is not None:
                yield key, found.mod_time
        if count < ENTRIES_MAX:
            self._behind = ""

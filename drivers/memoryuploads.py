"""Uploads in memory: which are in the making, kept, and committed."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

from .blocks import Appender, Blocks
from .contract import UploadState, UploadStatus
from .paths import below
from .refusals import no_upload

UPLOAD_AGE_SECONDS_MAX = 7 * 24 * 3_600
REAPED_AT_ONCE_MAX = 8
COMMITS_REMEMBERED_MAX = 10_000


@dataclass(slots=True, eq=False)
class Upload:
    """An upload in the making.

    Attributes:
        path: the object to be.
        upload_id: its name.
        data: its bytes.
        touched_at_s: when it was last used, on the monotonic clock.
        generation: how often it has been claimed, from 1.
        kept: whether a writer was closed without a commit.
    """

    path: str
    upload_id: str
    data: Appender
    touched_at_s: float
    generation: int = 1
    kept: bool = False


class Uploads:
    """All uploads of a driver. Not thread-safe: the driver has a lock."""

    def __init__(self) -> None:
        # The one touched last is last.
        self._open: OrderedDict[str, Upload] = OrderedDict()
        self._kept: dict[str, Upload] = {}
        self._committed: OrderedDict[tuple[str, str], str] = OrderedDict()

    def begin(self, path: str, start: Blocks) -> Upload:
        """A new upload, and an end to some that are too old."""
        now_s = time.monotonic()
        self._reap(now_s - UPLOAD_AGE_SECONDS_MAX)
        upload = Upload(path, secrets.token_hex(16), Appender(start), now_s)
        self._open[upload.upload_id] = upload
        return upload

    def claim(self, path: str, upload_id: str) -> Upload:
        """Take an upload over from whoever has it.

        Raises:
            UploadNotFoundError: there is none of that id.
        """
        upload = self._open.get(upload_id)
        if upload is None or upload.path != path:
            raise no_upload(path, upload_id)
        upload.generation += 1
        self.touch(upload)
        return upload

    def claim_kept(self, path: str) -> Upload | None:
        """Take over the upload that is kept for a path; None without one."""
        kept = self._kept.get(path)
        return None if kept is None else self.claim(path, kept.upload_id)

    def owns(self, upload: Upload, generation: int) -> bool:
        """Whether an upload goes on, and no one has claimed it since."""
        is_open = self._open.get(upload.upload_id) is upload
        return is_open and upload.generation == generation

    def touch(self, upload: Upload) -> None:
        """Note that an upload is in use."""
        upload.touched_at_s = time.monotonic()
        self._open.move_to_end(upload.upload_id)

    def keep(self, upload: Upload) -> None:
        """Keep an upload, in place of any other that is kept for its path."""
        before = self._kept.get(upload.path)
        if before is not None and before is not upload:
            self.drop(before)
        upload.kept = True
        self._kept[upload.path] = upload
        self.touch(upload)

    def drop(self, upload: Upload) -> None:
        """Forget an upload."""
        self._open.pop(upload.upload_id, None)
        if self._kept.get(upload.path) is upload:
            del self._kept[upload.path]

    def drop_below(self, path: str) -> bool:
        """Drop the uploads kept for a path and below it; whether there were any."""
        dropped = [
            upload
            for kept_path, upload in self._kept.items()
            if kept_path == path or below(kept_path, path)
        ]
        for upload in dropped:
            self.drop(upload)
        return bool(dropped)

    def committed(self, upload: Upload, identity: str) -> None:
        """Remember what an upload has become."""
        self.drop(upload)
        self._committed[upload.path, upload.upload_id] = identity
        while len(self._committed) > COMMITS_REMEMBERED_MAX:
            self._committed.popitem(last=False)

    def status(self, path: str, upload_id: str) -> UploadStatus:
        """What became of an upload."""
        upload = self._open.get(upload_id)
        if upload is not None and upload.path == path:
            return UploadStatus(UploadState.OPEN, durable=upload.data.size)
        identity = self._committed.get((path, upload_id))
        if identity is not None:
            return UploadStatus(UploadState.COMMITTED, identity=identity)
        return UploadStatus(UploadState.UNKNOWN)

    def clear(self) -> None:
        """Forget everything."""
        self._open.clear()
        self._kept.clear()
        self._committed.clear()

    def _reap(self, before_s: float) -> None:
        for _ in range(REAPED_AT_ONCE_MAX):
            oldest = next(iter(self._open.values()), None)
            if oldest is None or oldest.touched_at_s > before_s:
                return
            self.drop(oldest)

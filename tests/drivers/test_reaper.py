"""What nobody will go on with is dropped, a little at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storagebus.drivers import StorageDriver, reaper
from storagebus.drivers.reaper import (
    ENTRIES_MAX,
    UPLOAD_AGE_SECONDS_MAX,
    UPLOADS_BETWEEN,
    Reaper,
)
from storagebus.drivers.staging import STAGING, Uploads

pytestmark = pytest.mark.usefixtures("descriptors")

Everything = Callable[[], set[str]]
DAY = 24 * 3_600


def upload(uploads: Uploads, path: str, *, kept: bool, age_s: float) -> set[str]:
    """Stage an upload of some age; the names that it needs on disk."""
    staged, target = uploads.open(path)
    if kept:
        uploads.keep(staged)
    then = time.time() - age_s
    os.utime(target, (then, then))
    os.close(target)
    link = {f"~uploads{path}", f"~uploads{path}/~kept"} if kept else set()
    return {staged.file[1:]} | link


def test_only_what_is_too_old_goes(uploads: Uploads, everything: Everything) -> None:
    old = UPLOAD_AGE_SECONDS_MAX + 60
    for kept in (True, False):
        upload(uploads, "/a/old", kept=kept, age_s=old)
    young = upload(uploads, "/young", kept=True, age_s=UPLOAD_AGE_SECONDS_MAX - 60)
    young |= upload(uploads, "/b", kept=False, age_s=DAY)
    for name in ("put", "tmp"):
        one = uploads.create(f"{STAGING}/~{'0' * 32}.{name}")
        os.utime(one, (1, 1))
        os.close(one)
    worker = Reaper(uploads)
    # A round to drop the file of a kept upload, and one to see that its link is void.
    for _ in range(5):
        worker.work(time.time())
    assert everything() == young


def test_claims_go_with_their_upload_and_not_before(
    uploads: Uploads, everything: Everything, root: Path
) -> None:
    staged, target = uploads.open("/a")
    claimed, again = uploads.claim("/a", staged.upload_id)
    os.utime(root / claimed.claims[1:], (1, 1), follow_symlinks=False)
    worker = Reaper(uploads)
    for _ in range(3):
        worker.work(time.time())
    assert uploads.owns(claimed, again)
    assert not uploads.owns(staged, target)
    (root / staged.file[1:]).unlink()
    for _ in range(3):
        worker.work(time.time())
    assert everything() == set()
    os.close(target)
    os.close(again)


def test_empty_directories_of_a_crash_go(
    uploads: Uploads, everything: Everything, root: Path
) -> None:
    (root / "~uploads/a/b/c").mkdir(parents=True)
    (root / "~uploads/~committed").mkdir()
    worker = Reaper(uploads)
    for _ in range(2):
        worker.work(time.time())
    assert everything() == set()
    assert (root / "~uploads/~committed").is_dir()


def test_a_run_looks_at_a_bounded_number_and_the_next_goes_on(
    uploads: Uploads, everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "ENTRIES_MAX", 5)
    for number in range(23):
        upload(uploads, f"/{number}", kept=False, age_s=UPLOAD_AGE_SECONDS_MAX + 60)
    worker = Reaper(uploads)
    worker.work(time.time())
    left = []
    for _ in range(6):
        worker.work(time.time())
        left.append(len(everything()))
    assert left == [18, 13, 8, 3, 0, 0]


def test_it_works_in_step_with_the_uploads(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    runs: list[float] = []
    monkeypatch.setattr(reaper.time, "monotonic", lambda: now[0])
    worker = Reaper(uploads)
    monkeypatch.setattr(worker, "work", lambda now_s: runs.append(now[0]))
    worker.upload_made()
    assert len(runs) == 1
    for _ in range(3 * UPLOADS_BETWEEN):
        worker.upload_made()
    assert len(runs) == 4
    now[0] += reaper.SECONDS_BETWEEN
    worker.upload_made()
    assert len(runs) == 5
    # More is looked at than can have been made since.
    assert ENTRIES_MAX > 2 * UPLOADS_BETWEEN


def test_its_failure_is_no_concern_of_an_upload(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Reaper(uploads)

    def fail(now_s: float) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(worker, "work", fail)
    worker.upload_made()
    worker.upload_made()


def test_making_a_driver_touches_nothing(files: StorageDriver, root: Path) -> None:
    assert list(root.iterdir()) == []


def test_the_driver_drops_old_uploads_by_itself(
    files: StorageDriver, root: Path
) -> None:
    files.writer("/old").close()
    (kept,) = (root / "~uploads").glob("*.upload")
    os.utime(kept, (1, 1))
    for number in range(5 * UPLOADS_BETWEEN):
        files.put_content("/a", b"%d" % number)
    assert not kept.exists()
    assert not (root / "~uploads/old").exists()
    assert files.writer("/old", append=True).generation == 1

"""Uploads into files: fenced, atomic, and clean when they fail."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from storagebus.drivers import StorageDriver, UploadState
from storagebus.drivers.errors import (
    AccessDeniedError,
    DataLossError,
    InvalidStateError,
    PathConflictError,
    StorageError,
    StorageFullError,
    UploadSupersededError,
)
from storagebus.drivers.filewriter import FileWriter

pytestmark = pytest.mark.usefixtures("descriptors")

Everything = Callable[[], set[str]]
DATA = random.Random(11).randbytes(100_000)


def failing(number: int, calls: int = 1) -> Callable[..., None]:
    """A stand-in for a system call that fails that many times."""
    left = [calls]

    def call(*_: object, **__: object) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))

    return call


def test_what_is_written_is_in_the_file_at_once(
    files: StorageDriver, root: Path
) -> None:
    with files.writer("/a") as upload:
        for at in range(0, len(DATA), 7_001):
            upload.write(DATA[at : at + 7_001])
            (staged,) = (root / "~uploads").glob("*.upload")
            assert staged.stat().st_size == upload.size == upload.durable
        upload.commit()
    assert (root / "a").read_bytes() == DATA


def test_a_commit_leaves_nothing_in_staging(
    files: StorageDriver, everything: Everything
) -> None:
    with files.writer("/d/a", append=True) as upload:
        upload.write(DATA)
    with files.writer("/d/a", append=True) as upload:
        assert upload.size == len(DATA)
        upload.commit()
    files.writer("/d/b").cancel()
    assert everything() == {"d", "d/a"}


def test_a_failed_write_leaves_size_and_bytes_as_they_were(
    files: StorageDriver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite

    def half(target: int, data: bytes, offset: int) -> int:
        if len(data) < 3_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(target, memoryview(data)[:2_000], offset)

    with files.writer("/a") as upload:
        upload.write(DATA[:5_000])
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", half)
            with pytest.raises(StorageFullError) as caught:
                upload.write(DATA[5_000:10_000])
        assert (caught.value.path, caught.value.driver) == ("/a", "filesystem")
        assert upload.size == upload.durable == 5_000
        (staged,) = (root / "~uploads").glob("*.upload")
        assert staged.stat().st_size == 5_000
        upload.write(DATA[5_000:])
        upload.commit()
    assert files.get_content("/a") == DATA


def test_after_a_failed_fsync_the_bytes_are_not_trusted(
    files: StorageDriver, everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.put_content("/a", b"old")
    upload = files.writer("/a")
    upload.write(DATA)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(StorageError, match="EIO"):
        upload.commit()
    with pytest.raises(DataLossError, match="start again"):
        upload.commit()
    with pytest.raises(DataLossError):
        upload.write(b"more")
    assert upload.durable == 0
    upload.close()
    assert everything() == {"a"}
    assert files.get_content("/a") == b"old"


def test_a_commit_whose_directory_is_not_synced_is_an_error_that_may_have_run(
    files: StorageDriver, everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = files.writer("/a")
    upload.write(DATA)
    fsync = os.fsync
    calls: list[int] = []

    def second(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", second)
    with pytest.raises(StorageError) as caught:
        upload.commit()
    assert caught.value.executed.value == "maybe"
    status = files.upload_status("/a", upload.upload_id)
    assert status.state is UploadState.COMMITTED
    assert status.identity == files.stat("/a").identity
    upload.cancel()
    assert everything() == {"a"}
    assert files.get_content("/a") == DATA


@pytest.mark.parametrize(
    ("number", "cls"),
    [(errno.ENOSPC, StorageFullError), (errno.EROFS, AccessDeniedError)],
)
def test_a_failed_rename_keeps_the_upload_and_takes_the_mark_back(
    files: StorageDriver,
    everything: Everything,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    cls: type[StorageError],
) -> None:
    upload = files.writer("/d/a")
    upload.write(DATA)
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", failing(number))
        with pytest.raises(cls):
            upload.commit()
    assert not any(name.startswith("d") for name in everything())
    status = files.upload_status("/d/a", upload.upload_id)
    assert (status.state, status.durable) == (UploadState.OPEN, len(DATA))
    upload.commit()
    assert files.get_content("/d/a") == DATA


def test_a_commit_that_meets_a_directory_can_still_be_cancelled(
    files: StorageDriver, everything: Everything
) -> None:
    upload = files.writer("/a")
    files.put_content("/a/b", b"1")
    with pytest.raises(PathConflictError):
        upload.commit()
    upload.cancel()
    assert everything() == {"a", "a/b"}
    status = files.upload_status("/a", upload.upload_id)
    assert status.state is UploadState.UNKNOWN


def test_a_crash_between_mark_and_rename_leaves_the_upload_open(
    files: StorageDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is there, and still the upload counts as open, not as committed."""
    raw: FileWriter = files._driver.writer("/a")  # type: ignore[attr-defined]
    raw.write(DATA)

    class Crash(BaseException):
        pass

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", crash)
        patched.setattr(type(raw._uploads.commits), "forget", lambda *_: None)
        with pytest.raises(Crash):
            raw.commit()
    assert raw._uploads.commits.recall("/a", raw.upload_id) is not None
    status = files.upload_status("/a", raw.upload_id)
    assert (status.state, status.durable) == (UploadState.OPEN, len(DATA))

    with files.writer("/a", upload_id=raw.upload_id) as upload:
        upload.cancel()
    status = files.upload_status("/a", raw.upload_id)
    assert status.state is UploadState.UNKNOWN
    with pytest.raises(UploadSupersededError):
        raw.commit()
    raw.close()


def test_the_status_of_a_commit_is_the_identity_of_its_object(
    files: StorageDriver,
) -> None:
    upload = files.writer("/a")
    upload.write(DATA)
    upload.commit()
    status = files.upload_status("/a", upload.upload_id)
    assert status.state is UploadState.COMMITTED
    assert status.identity == files.stat("/a").identity
    files.put_content("/a", b"newer")
    assert files.upload_status("/a", upload.upload_id) == status


def test_a_deleted_upload_is_refused_at_the_next_step(driver: StorageDriver) -> None:
    with driver.writer("/a") as upload:
        upload.write(DATA)
    for step in (lambda upload: upload.write(b"x"), lambda upload: upload.commit()):
        with driver.writer("/a") as upload:
            upload.write(DATA)
        upload = driver.writer("/a", append=True)
        driver.delete("/a")
        with pytest.raises(UploadSupersededError):
            step(upload)
        upload.close()
        assert driver.writer("/a", append=True).size == 0


def test_after_its_end_a_bare_writer_is_of_no_use(files: StorageDriver) -> None:
    """Without the checked wrapper, as a driver's own tests would use it."""
    for end in ("commit", "cancel", "close"):
        raw: FileWriter = files._driver.writer("/a")  # type: ignore[attr-defined]
        raw.write(b"1")
        getattr(raw, end)()
        for use in (lambda: raw.write(b"2"), raw.commit, raw.cancel):  # noqa: B023
            with pytest.raises(InvalidStateError):
                use()
        raw.close()


def test_a_writer_that_is_forgotten_gives_its_descriptor_back(
    files: StorageDriver,
) -> None:
    upload = files.writer("/a")
    upload.write(DATA)
    upload_id = upload.upload_id
    del upload
    status = files.upload_status("/a", upload_id)
    assert (status.state, status.durable) == (UploadState.OPEN, len(DATA))


def test_a_closed_driver_refuses_writers_that_are_open(driver: StorageDriver) -> None:
    upload = driver.writer("/a")
    driver.close()
    for use in (lambda: upload.write(b"1"), upload.commit, lambda: driver.stat("/a")):
        with pytest.raises(InvalidStateError, match="driver is closed"):
            use()
    with pytest.raises(InvalidStateError):
        upload.close()
    upload.close()

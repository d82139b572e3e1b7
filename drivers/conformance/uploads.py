"""Uploads by id: what became of one, and going on where a writer vanished."""

from __future__ import annotations

from ..contract import UploadState, UploadStatus, Writer
from ..errors import (
    InvalidParameterError,
    UnsupportedMethodError,
    UploadNotFoundError,
)
from . import expect
from .case import Case
from .claims import expect_superseded
from .requirement import KIB, Topic

topic = Topic("upload")

RESUME = ("resume",)
NO_IDS = ("no-such-upload", "../../outside", "a/b", "0" * 64, "..")
BAD_IDS: tuple[object, ...] = ("", "x" * 257, "umlaut-\u00fc", 7, b"bytes")


def _status(case: Case, path: str, upload: Writer) -> UploadStatus:
    return case.driver.upload_status(path, upload.upload_id)


def _is(got: UploadStatus, state: UploadState, when: str) -> None:
    expect.equal(got.state, state, f"state of the upload {when}")


@topic.requirement(needs=RESUME, streams=20)
def ids_are_unique(case: Case) -> None:
    """Every upload has an id of 1 to 256 printable ASCII characters of its own."""
    uploads = [case.writer(case.path("object")) for _ in range(20)]
    ids = [upload.upload_id for upload in uploads]
    for upload_id in ids:
        fit = upload_id.isascii() and upload_id.isprintable() and len(upload_id) <= 256
        expect.that(fit and bool(upload_id), f"{upload_id!r} is no upload id")
    expect.equal(len(set(ids)), len(ids), "number of different ids")


@topic.requirement(needs=RESUME)
def status_of_a_kept_upload(case: Case) -> None:
    """A kept upload is open, and durable says how much of it a claim starts from."""
    path = case.path("object")
    upload = case.keep(path, case.data(1000))
    status = _status(case, path, upload)
    _is(status, UploadState.OPEN, "after the close")
    again = case.writer(path, append=True)
    expect.equal(again.size, status.durable, "size of the claim, by durable")
    expect.equal(again.size, 1000, "size of the claim")


@topic.requirement(needs=RESUME)
def status_while_writing(case: Case) -> None:
    """An upload whose writer is at work is open, with at most size bytes durable."""
    path = case.path("object")
    upload = case.writer(path)
    _is(_status(case, path, upload), UploadState.OPEN, "after the opening")
    upload.write(case.data(1000))
    status = _status(case, path, upload)
    _is(status, UploadState.OPEN, "after a write")
    within = 0 <= status.durable <= upload.size
    expect.that(within, f"durable is {status.durable}, size is {upload.size}")


@topic.requirement(needs=RESUME)
def status_after_commit(case: Case) -> None:
    """A committed upload is committed, with the identity of the object if known."""
    path = case.path("object")
    upload = case.writer(path)
    upload.write(case.data())
    upload.commit()
    upload.close()
    status = _status(case, path, upload)
    _is(status, UploadState.COMMITTED, "after the commit")
    expect.equal(status.durable, 0, "durable of a committed upload")
    if status.identity is not None and case.capabilities.identity:
        now = case.driver.stat(path).identity
        expect.equal(status.identity, now, "identity that the upload became")


@topic.requirement(needs=RESUME)
def status_after_cancel(case: Case) -> None:
    """A cancelled upload is unknown."""
    path = case.path("object")
    upload = case.writer(path)
    upload.write(case.data())
    upload.cancel()
    _is(_status(case, path, upload), UploadState.UNKNOWN, "after the cancel")


@topic.requirement(needs=RESUME)
def status_after_delete(case: Case) -> None:
    """A kept upload that was deleted with its path is unknown."""
    path = case.path("object")
    upload = case.keep(path, case.data())
    case.driver.delete(path)
    _is(_status(case, path, upload), UploadState.UNKNOWN, "after the delete")
    expect.raises(
        UploadNotFoundError, case.driver.writer, path, upload_id=upload.upload_id
    )


@topic.requirement(needs=RESUME)
def status_of_no_upload(case: Case) -> None:
    """An id that never was, or of another path, is unknown and cannot be claimed."""
    path, elsewhere = case.path("object"), case.path("elsewhere")
    upload = case.keep(path, case.data())
    for at, upload_id in [(path, one) for one in NO_IDS] + [
        (elsewhere, upload.upload_id)
    ]:
        status = case.driver.upload_status(at, upload_id)
        _is(status, UploadState.UNKNOWN, f"{upload_id!r} at {at}")
        expect.raises(UploadNotFoundError, case.driver.writer, at, upload_id=upload_id)
    _is(_status(case, path, upload), UploadState.OPEN, "that was asked for elsewhere")


@topic.requirement(needs=RESUME)
def bad_ids_are_typed(case: Case) -> None:
    """What can be no upload id is an InvalidParameterError."""
    path = case.path("object")
    for upload_id in BAD_IDS:
        expect.raises(InvalidParameterError, case.driver.upload_status, path, upload_id)
        expect.raises(
            InvalidParameterError, case.driver.writer, path, upload_id=upload_id
        )


@topic.requirement(needs=RESUME)
def continued_by_id(case: Case) -> None:
    """A closed upload is continued by its id, which it keeps until its commit."""
    path = case.path("object")
    first, second, third = (case.data(64 + at) for at in range(3))
    kept = case.keep(path, first)
    upload = case.writer(path, upload_id=kept.upload_id)
    expect.equal(upload.upload_id, kept.upload_id, "id of the continued upload")
    rose = upload.generation > kept.generation
    expect.that(rose, f"generation {upload.generation} after {kept.generation}")
    expect.equal(upload.size, len(first), "size of the continued upload")
    upload.write(second)
    upload.close()
    upload = case.writer(path, append=True)
    expect.equal(upload.upload_id, kept.upload_id, "id of the upload appended to")
    upload.write(third)
    upload.commit()
    upload.close()
    case.holds(path, first + second + third)
    _is(_status(case, path, kept), UploadState.COMMITTED, "after the commit")


@topic.requirement(needs=RESUME)
def spent_ids_cannot_be_claimed(case: Case) -> None:
    """The id of a committed or cancelled upload is an UploadNotFoundError."""
    path = case.path("object")
    for end in ("commit", "cancel"):
        upload = case.writer(path)
        upload.write(case.data())
        getattr(upload, end)()
        upload.close()
        expect.raises(
            UploadNotFoundError, case.driver.writer, path, upload_id=upload.upload_id
        )


def _continue_abandoned(case: Case, path: str, vanished: Writer, data: bytes) -> None:
    """Claim by id from a writer that is still open, and finish from its offset."""
    durable = vanished.durable
    upload = case.writer(path, upload_id=vanished.upload_id)
    within = durable <= upload.size <= len(data)
    expect.that(within, f"size of the claim is {upload.size}, durable was {durable}")
    expect_superseded(vanished)
    upload.write(data[upload.size :])
    upload.commit()
    upload.close()
    vanished.close()
    case.holds(path, data)


@topic.requirement(needs=RESUME)
def continued_after_its_writer_vanished(case: Case) -> None:
    """An upload whose writer never closed goes on by id from its durable offset."""
    path = case.path("object")
    data = case.data(300 * KIB)
    vanished = case.writer(path)
    vanished.write(data[: 200 * KIB])
    _continue_abandoned(case, path, vanished, data)


@topic.requirement(needs=("resume", "shared"))
def continued_from_another_instance(case: Case) -> None:
    """Another instance's abandoned upload goes on by id, and it is fenced off."""
    path = case.path("object")
    data = case.data(300 * KIB)
    vanished = case.track(case.second().writer(path))
    vanished.write(data[: 200 * KIB])
    _continue_abandoned(case, path, vanished, data)
    got = case.second().upload_status(path, vanished.upload_id)
    _is(got, UploadState.COMMITTED, "in the other instance")


@topic.requirement(needs=RESUME)
def abandoned_uploads_are_not_kept(case: Case) -> None:
    """append continues kept uploads only: not one whose writer is at work."""
    path = case.path("object")
    at_work = case.writer(path)
    data = case.data()
    at_work.write(data)
    expect.equal(case.writer(path, append=True).size, 0, "size of the appending writer")
    at_work.commit()
    at_work.close()
    case.holds(path, data)


@topic.requirement(without=RESUME)
def resuming_is_typed_without_the_capability(case: Case) -> None:
    """Without the capability resume, ids are an UnsupportedMethodError."""
    path = case.path("object")
    expect.raises(UnsupportedMethodError, case.driver.upload_status, path, "an-id")
    expect.raises(UnsupportedMethodError, case.driver.writer, path, upload_id="an-id")

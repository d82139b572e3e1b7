"""client/uploads.py: how an upload goes on when its worker is lost, with scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scripted_transport import Script, Stream

from storagebus.broker.messages import Operation, Result
from storagebus.broker.wire import Type
from storagebus.client.operations import Operations
from storagebus.client.uploads import Upload
from storagebus.client.waiting import run_now
from storagebus.drivers.errors import (
    DataLossError,
    Executed,
    UnavailableError,
    UploadNotFoundError,
    WorkerLostError,
)

LOST = WorkerLostError("gone", executed=Executed.MAYBE)
DATA = bytes(range(256)) * 1_200


def write(stream: Stream) -> tuple[Operation, Stream]:
    return Operation.WRITE, stream


def status(state: str) -> tuple[Operation, Stream]:
    return Operation.UPLOAD_STATUS, Stream(end=Result(state=state))


def committing(*script: tuple[Operation, Stream]) -> Callable[[], None]:
    """An upload of DATA that is committed, over these streams."""

    def run() -> None:
        transport = Script(*script)
        upload = Upload(Operations(transport, "default", 30.0), "/a")
        run_now(upload.open())
        run_now(upload.write(DATA))
        run_now(upload.commit())
        transport.close()

    return run


def test_what_is_missing_is_sent_again_under_the_same_id() -> None:
    second = Stream(100_000)
    committing(write(Stream(write=LOST)), write(second))()
    assert second.asked.upload_id == "u1"
    assert b"".join(second.taken) == DATA[100_000:]
    assert second.ended_with is Type.COMMIT


def test_a_commit_that_has_run_is_not_repeated() -> None:
    committing(write(Stream(end=LOST)), status("committed"))()


def test_a_commit_that_has_not_run_is_repeated_under_a_new_claim() -> None:
    second = Stream(len(DATA))
    committing(write(Stream(end=LOST)), status("open"), write(second))()
    assert second.ended_with is Type.COMMIT


def test_a_commit_that_runs_while_it_is_asked_for() -> None:
    gone = UploadNotFoundError()
    committing(
        write(Stream(end=LOST)),
        status("open"),
        write(Stream(gone)),
        status("committed"),
    )()


def test_a_commit_of_which_nothing_is_known_may_have_run() -> None:
    with pytest.raises(WorkerLostError) as caught:
        committing(write(Stream(end=LOST)), status("unknown"))()
    assert caught.value.executed is Executed.MAYBE


def test_a_commit_that_nobody_can_be_asked_about_any_more_may_have_run() -> None:
    unavailable = UnavailableError(temporary=False, executed=Executed.NO)
    with pytest.raises(UnavailableError) as caught:
        committing(
            write(Stream(end=LOST)),
            status("open"),
            write(Stream(UploadNotFoundError())),
            (Operation.UPLOAD_STATUS, Stream(end=unavailable)),
        )()
    assert caught.value.executed is Executed.MAYBE
    assert caught.value.durable is not None


def test_what_nobody_has_any_more_is_an_error_with_the_durable_offset() -> None:
    with pytest.raises(DataLossError) as caught:
        committing(write(Stream(write=LOST)), write(Stream(len(DATA) + 1)))()
    assert caught.value.durable is not None

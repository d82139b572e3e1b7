"""Ends of uploads whose answer was lost: what is certain, what is not, what is said.

A worker that has received a commit carries it out, though its session is gone. So
between the question whether it has and the claim that fences it off, it may.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from storagebus.broker.messages import Accepted
from storagebus.broker.wire import Type
from storagebus.client.operations import Operations
from storagebus.client.retry import Attempts, Safety
from storagebus.client.uploads import Upload
from storagebus.client.waiting import run_now
from storagebus.drivers.contract import FileInfo, UploadState, UploadStatus
from storagebus.drivers.errors import (
    BusyError,
    CancelledError,
    Executed,
    StorageError,
    UnavailableError,
    UploadNotFoundError,
    WorkerLostError,
)

OPEN = UploadStatus(UploadState.OPEN, 5, None)
COMMITTED = UploadStatus(UploadState.COMMITTED, 5, "identity")
UNKNOWN = UploadStatus(UploadState.UNKNOWN, 0, None)


class Stream:
    """One stream of an upload; what it meets is told beforehand."""

    ended = False
    durable = reached = 5
    moved_at = 0.0

    def __init__(
        self,
        opening: StorageError | None,
        end: StorageError | None,
        upload_id: str = "u",
    ) -> None:
        self._opening = opening
        self._end = end
        self._upload_id = upload_id
        self.ends: list[object] = []

    async def opened(self) -> Accepted:
        if self._opening is not None:
            raise self._opening
        return Accepted(size=5, durable=5, upload_id=self._upload_id, generation=1)

    async def write(self, piece: bytes) -> None: ...

    def end(self, kind: object, within_s: float) -> None:
        self.ends.append(kind)

    def relax(self) -> None: ...

    async def finish(self) -> None:
        if self._end is not None:
            raise self._end

    def release(self) -> None: ...


class Script(Operations):
    """A service whose streams and answers are told beforehand."""

    def __init__(self, streams: list[Stream], states: list[Any]) -> None:
        super().__init__(cast(Any, self), "default", 30.0)
        self._streams: Iterator[Stream] = iter(streams)
        self._states = iter(states)

    def begin(self, request: object, *, brief: bool) -> Stream:
        return next(self._streams)

    def now(self) -> float:
        return 1_000.0

    async def sleep(self, seconds: float) -> None: ...

    call_lanes = None

    async def explain(self, error: StorageError) -> None: ...

    async def upload_status(self, *_: object, **__: object) -> UploadStatus:
        state = next(self._states)
        if isinstance(state, StorageError):
            raise state
        assert isinstance(state, UploadStatus)
        return state

    async def stat(self, path: str, **_: object) -> FileInfo:
        return FileInfo(path, 10, None, False, COMMITTED.identity)


def written(streams: list[Stream], states: list[Any]) -> Upload:
    """An upload that something was written to."""
    upload = Upload(Script(streams, states), "/a")
    run_now(upload.open())
    run_now(upload.write(b"bytes"))
    return upload


def commit(streams: list[Stream], states: list[Any]) -> None:
    """Write something and commit it."""
    run_now(written(streams, states).commit())


def lost() -> Stream:
    return Stream(None, WorkerLostError("lost"))


def gone() -> Stream:
    return Stream(UploadNotFoundError("gone"), None)


def test_it_has_run() -> None:
    commit([lost()], [COMMITTED])


def test_it_has_not_run_and_is_repeated() -> None:
    commit([lost(), Stream(None, None)], [OPEN])


def test_it_runs_between_the_question_and_the_claim() -> None:
    commit([lost(), gone()], [OPEN, COMMITTED])


def test_an_upload_that_is_gone_for_another_reason_is_an_error() -> None:
    with pytest.raises(WorkerLostError) as caught:
        commit([lost(), gone()], [OPEN, UNKNOWN])
    assert caught.value.executed is Executed.MAYBE


def test_a_claim_that_is_refused_leaves_the_commit_uncertain() -> None:
    refused = StorageError("no", executed=Executed.NO, temporary=False)
    with pytest.raises(StorageError, match="no") as caught:
        commit([lost(), Stream(refused, None)], [OPEN])
    assert caught.value.executed is Executed.MAYBE


def test_a_question_that_is_refused_leaves_the_commit_uncertain() -> None:
    refused = UnavailableError("no", executed=Executed.NO, temporary=False)
    with pytest.raises(UnavailableError) as caught:
        commit([lost()], [refused])
    assert caught.value.executed is Executed.MAYBE


def test_a_claim_fences_the_first_commit_off() -> None:
    never = StorageError("full", executed=Executed.NO, temporary=False)
    with pytest.raises(StorageError, match="full") as caught:
        commit([lost(), Stream(None, never)], [OPEN])
    assert caught.value.executed is Executed.NO


def test_what_the_last_attempt_says_is_said_of_all() -> None:
    attempts = Attempts(Safety.REPEATABLE, ends=1_010.0)
    assert attempts.pause_s(WorkerLostError(), 1_000.0, 0.5) is not None
    assert attempts.pause_s(BusyError(retry_after_s=60), 1_000.0, 0.5) is None
    assert attempts.final(BusyError()).executed is Executed.MAYBE
    never = Attempts(Safety.REPEATABLE, ends=1_010.0)
    assert never.pause_s(BusyError(retry_after_s=60), 1_000.0, 0.5) is None
    assert never.final(BusyError()).executed is Executed.NO


def test_a_cancel_that_was_lost_is_repeated() -> None:
    again = Stream(None, CancelledError())
    run_now(written([lost(), again], []).cancel())
    assert again.ends == [Type.CANCEL]


class Slow(Script):
    """A service on a clock, whose every try takes seconds."""

    def __init__(self, streams: list[Stream], try_s: float = 0.0) -> None:
        super().__init__(streams, [])
        self.time = 1_000.0
        self.budgets: list[float] = []
        self._try_s = try_s

    def begin(self, request: object, *, brief: bool) -> Stream:
        self.budgets.append(cast(Any, request).budget_s)
        self.time += self._try_s
        return super().begin(request, brief=brief)

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.mark.parametrize(
    ("temporary", "left_s"),
    [
        (True, 0.5),  # it was tried again until the deadline
        (False, 30.0),  # it was not
    ],
)
def test_a_cancel_after_a_failure_has_what_is_left(
    temporary: bool, left_s: float
) -> None:
    """It is what a `with` block does that an error leaves."""
    down = [Stream(UnavailableError("down"), None) for _ in range(99)]
    service = Slow([Stream(None, None), *down])
    upload = Upload(service, "/a")
    run_now(upload.open())

    async def fail(piece: bytes) -> None:
        raise UnavailableError("down", temporary=temporary)

    cast(Any, upload._handle).write = fail
    service._try_s = 4.0
    with pytest.raises(UnavailableError):
        run_now(upload.write(bytes(1 << 20)))
    service.budgets.clear()
    service._streams = iter([Stream(None, None)])
    run_now(upload.cancel())
    assert service.budgets == [left_s]


def test_a_cancel_without_a_failure_has_the_whole_deadline() -> None:
    service = Slow([Stream(None, None), Stream(None, None)])
    upload = Upload(service, "/a")
    run_now(upload.open())
    service.time += 60.0
    cast(Any, upload._handle).ended = True
    run_now(upload.cancel())
    assert service.budgets == [30.0, 30.0]


def test_an_upload_that_is_gone_needs_no_cancel() -> None:
    run_now(written([lost(), gone()], []).cancel())


def test_a_close_that_was_lost_is_repeated() -> None:
    again = Stream(None, None)
    run_now(written([lost(), again], []).close())
    assert again.ends == [Type.DETACH]


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_what_cannot_be_continued_cannot_be_repeated(end: str) -> None:
    upload = written([Stream(None, WorkerLostError("lost"), upload_id="")], [])
    with pytest.raises(WorkerLostError):
        run_now(getattr(upload, end)())

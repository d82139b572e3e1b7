"""client/claims.py: what others may have done with an upload, with scripts."""

from __future__ import annotations

import pytest
from scripted_transport import Script, Stream

from storagebus.broker.messages import Operation, Result
from storagebus.broker.wire import Type
from storagebus.client.claims import check_claim
from storagebus.client.operations import Operations
from storagebus.client.puts import put_whole
from storagebus.client.uploads import Upload
from storagebus.client.waiting import run_now
from storagebus.drivers.errors import (
    Executed,
    PathNotFoundError,
    StorageError,
    UnavailableError,
    UploadSupersededError,
    WorkerLostError,
)

DATA = bytes(range(256)) * 1_200
Step = tuple[Operation, Stream]


def lost() -> StorageError:
    return WorkerLostError("gone", executed=Executed.MAYBE)


def write(stream: Stream) -> Step:
    return Operation.WRITE, stream


def committed(identity: str | None = "i1") -> Step:
    answer = Stream(end=Result(state="committed", identity=identity))
    return Operation.UPLOAD_STATUS, answer


def found(end: StorageError | Result) -> Step:
    return Operation.STAT, Stream(end=end)


def store(*script: Step) -> None:
    transport = Script(*script)
    upload = Upload(Operations(transport, "default", 30.0), "/a")
    run_now(upload.open())
    run_now(upload.write(DATA))
    run_now(upload.commit())
    transport.close()


def test_a_claim_may_follow_on_the_last_one() -> None:
    check_claim("/a", 3, 3)
    with pytest.raises(UploadSupersededError) as caught:
        check_claim("/a", 4, 3)
    assert (caught.value.path, caught.value.executed) == ("/a", Executed.NO)


def test_who_goes_on_claims_the_next_generation() -> None:
    store(write(Stream(write=lost())), write(Stream(100, generation=2)))


def test_what_another_has_claimed_meanwhile_is_not_taken_from_him() -> None:
    second = Stream(100, generation=3)
    with pytest.raises(UploadSupersededError):
        store(write(Stream(write=lost())), write(second))
    assert second.taken == []
    assert second.ended_with is None


@pytest.mark.parametrize("size", [0, 100])
def test_a_claim_without_an_answer_may_be_the_other_one(size: int) -> None:
    """With no more than what was durable it does no harm; else it is given up."""
    last = Stream(size, generation=3)
    script = (write(Stream(write=lost())), write(Stream(lost())), write(last))
    if size:
        with pytest.raises(UploadSupersededError):
            store(*script)
        assert last.taken == []
    else:
        store(*script)
        assert last.ended_with is Type.COMMIT


def test_an_upload_of_which_nobody_knows_has_one_writer() -> None:
    last = Stream(100, generation=9)
    script = (write(Stream(write=lost())), write(Stream(lost())), write(last))
    transport = Script(*script)
    run_now(put_whole(Operations(transport, "default", 30.0), "/a", DATA))
    assert last.ended_with is Type.COMMIT


def test_a_commit_that_is_found_done_has_the_size() -> None:
    size = Result(path="/a", size=len(DATA), identity="i1")
    store(write(Stream(end=lost())), committed(), found(size))


def test_a_commit_that_is_found_done_may_be_anothers() -> None:
    size = Result(path="/a", size=len(DATA) + 1, identity="i1")
    with pytest.raises(UploadSupersededError):
        store(write(Stream(end=lost())), committed(), found(size))


def test_an_object_that_was_replaced_since_says_nothing() -> None:
    size = Result(path="/a", size=1, identity="i2")
    store(write(Stream(end=lost())), committed(), found(size))
    store(write(Stream(end=lost())), committed(), found(PathNotFoundError()))
    store(write(Stream(end=lost())), committed(None))


def test_without_its_size_a_commit_is_in_doubt() -> None:
    down = UnavailableError("down", temporary=False)
    with pytest.raises(WorkerLostError) as caught:
        store(write(Stream(end=lost())), committed(), found(down))
    assert caught.value.executed is Executed.MAYBE

"""Calls: one job, one answer, whatever happens on the way."""

import os

import pytest

from storagebus.broker.messages import Operation, Progress, Result, error_of, parse
from storagebus.broker.moments import to_us
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import (
    BusyError,
    CancelledError,
    DeadlineExceededError,
    Executed,
    InvalidPathError,
    PathNotFoundError,
    StorageError,
    TooLargeError,
    UnavailableError,
    UnsupportedMethodError,
)
from storagebus.drivers.progress import step


def result(bench, link=0):
    return parse(Result, bench.one(Type.RESULT, link).fields)


def error(bench):
    return error_of(bench.one(Type.ERROR))


def test_stat_says_all_that_the_driver_knows(bench):
    bench.store.objects["/a"] = b"12345"
    stream = bench.open(Operation.STAT, queued_us=1500)
    bench.run()
    message = bench.one(Type.RESULT)
    assert message.stream == stream
    assert message.epoch == 77
    found = parse(Result, message.fields)
    info = found.info()
    assert (info.path, info.size, info.is_dir, info.identity) == ("/a", 5, False, "one")
    assert found.mtime_us == to_us(info.mod_time)
    assert found.driver_us == 7
    assert found.queued_us == 1500


def test_a_directory_has_no_time(bench):
    bench.open(Operation.STAT, "/dir")
    bench.run()
    info = result(bench).info()
    assert (info.is_dir, info.mod_time, info.identity) == (True, None, None)


def test_time_in_the_workers_queue_is_added_to_the_brokers(make_bench):
    bench = make_bench()
    bench.join()
    for _ in range(5):
        bench.open(Operation.STAT, queued_us=1000, budget_ms=9000)
    assert len(bench.tasks) == 4  # the slots
    bench.now += 0.25
    bench.run()
    messages = [m for m in bench.take() if m.type is Type.RESULT]
    waits = [parse(Result, message.fields).queued_us for message in messages]
    assert waits == [1000, 1000, 1000, 1000, 251_000]


def test_put_move_delete(bench):
    content = os.urandom(65_536)
    bench.open(Operation.PUT, payload=memoryview(content))
    bench.run()
    result(bench)
    bench.open(Operation.MOVE, destination="/b")
    bench.run()
    result(bench)
    assert bench.store.objects == {"/b": content}
    bench.open(Operation.DELETE, "/b")
    bench.run()
    result(bench)
    assert bench.store.objects == {}


def test_describe_redirect_and_upload_status(bench):
    bench.open(Operation.DESCRIBE)
    bench.run()
    told = result(bench)
    assert (told.driver, told.api_version) == ("store", "1.0")
    assert told.capabilities["resume"] is True
    bench.open(Operation.REDIRECT_URL, method="HEAD", expires=60)
    bench.run()
    assert result(bench).url == "https://example.org/a?HEAD&60"
    bench.open(Operation.UPLOAD_STATUS, upload_id="u9")
    bench.run()
    told = result(bench)
    assert (told.state, told.identity) == ("committed", "made-by-u9")


def test_a_put_above_the_limit_is_refused_before_the_driver_sees_it(bench):
    bench.open(Operation.PUT, payload=bytes(65_537))
    assert isinstance(error(bench), TooLargeError)
    assert not bench.tasks


@pytest.mark.parametrize(
    ("raised", "expected", "executed"),
    [
        (PathNotFoundError(path="/a"), PathNotFoundError, Executed.NO),
        (OSError(13, "no"), StorageError, Executed.NO),
        (ZeroDivisionError("oops"), StorageError, Executed.MAYBE),
        (StopIteration(), StorageError, Executed.MAYBE),
        (MemoryError(), UnavailableError, Executed.MAYBE),
    ],
)
def test_whatever_the_driver_raises_is_typed(bench, raised, expected, executed):
    bench.store.faults["move"] = raised
    bench.open(Operation.MOVE, destination="/b")
    bench.run()
    got = error(bench)
    assert isinstance(got, expected)
    assert got.driver == "store"
    assert got.executed is executed


def test_bad_arguments_are_the_drivers_typed_errors(bench):
    bench.open(Operation.STAT, "no/slash")
    bench.run()
    assert isinstance(error(bench), InvalidPathError)


def test_an_unknown_operation_is_unsupported(bench):
    bench.open(42)
    got = error(bench)
    assert isinstance(got, UnsupportedMethodError)
    assert got.executed is Executed.NO


def test_a_malformed_open_ends_its_stream_only(bench):
    bench.give(Message(Type.OPEN, 1, 2, fields=b"\xc1"))
    assert error(bench).executed is Executed.NO
    bench._ids[0] = 1
    bench.open(Operation.STAT)
    bench.run()
    result(bench)


def test_what_expires_in_the_queue_is_not_executed(bench):
    for _ in range(4):
        bench.open(Operation.STAT, budget_ms=60_000)
    late = bench.open(Operation.DELETE, budget_ms=1000)
    bench.tick(0.9)
    assert not [m for m in bench.take() if m.type is Type.ERROR]
    bench.tick(0.3)
    (message,) = [m for m in bench.take() if m.type is Type.ERROR]
    assert message.stream == late
    got = error_of(message)
    assert isinstance(got, DeadlineExceededError)
    assert got.executed is Executed.NO
    bench.run()
    assert "delete" not in bench.store.calls


def test_what_has_expired_when_a_thread_gets_free_is_not_begun(bench):
    for _ in range(4):
        bench.open(Operation.STAT)
    bench.open(Operation.DELETE, budget_ms=1000)
    bench.now += 5  # no alarm has rung: the loop was late
    bench.run()
    assert [m.type for m in bench.take()].count(Type.ERROR) == 1
    assert "delete" not in bench.store.calls


def test_cancel_takes_a_waiting_call_back(bench):
    for _ in range(4):
        bench.open(Operation.STAT)
    waiting = bench.open(Operation.DELETE)
    bench.give(Message(Type.CANCEL, waiting))
    got = error(bench)
    assert isinstance(got, CancelledError)
    assert got.executed is Executed.NO
    bench.run()
    assert "delete" not in bench.store.calls
    assert len(bench.take()) == 4


def test_cancel_of_a_running_call_waits_for_the_truth(bench):
    bench.store.objects["/a"] = b""
    stream = bench.open(Operation.DELETE)
    bench.give(Message(Type.CANCEL, stream))
    bench.give(Message(Type.CANCEL, stream))
    assert bench.take() == []
    bench.run()
    result(bench)
    assert bench.store.objects == {}
    bench.give(Message(Type.CANCEL, stream))
    assert bench.take() == []


def test_a_long_call_shows_progress_while_its_driver_moves(bench):
    stream = bench.open(Operation.MOVE, destination="/b")
    (task,) = bench.tasks
    for _ in range(12):
        task.stream.steps.done += 10
        bench.tick(1)
    bench.tick(60)  # it hangs
    messages = [m for m in bench.take() if m.type is Type.PROGRESS]
    counts = [parse(Progress, m.fields).done for m in messages]
    assert [m.stream for m in messages] == [stream] * len(counts)
    assert len(counts) == 3
    assert counts[0] in (50, 60)
    assert counts[-1] == 120


def test_a_call_with_a_short_budget_shows_progress_sooner(bench):
    bench.open(Operation.MOVE, destination="/b", budget_ms=8_000)
    for _ in range(8):
        bench.tasks[0].stream.steps.done += 1
        bench.tick(1)
    assert [m.type for m in bench.take()].count(Type.PROGRESS) >= 3


def test_a_call_with_hardly_any_budget_keeps_no_worker_awake(bench):
    bench.open(Operation.READ)  # goes on for long
    bench.open(Operation.MOVE, destination="/b", budget_ms=1)
    ends, wakes = bench.now + 2.0, 0
    while (due := bench.core.next_deadline(bench.now)) is not None and due < ends:
        bench.tick(max(0.0, due - bench.now))
        wakes += 1
        assert wakes < 40, "it wakes again and again"


def test_the_steps_of_a_driver_are_counted_on_its_stream(bench):
    bench.store.objects["/a"] = b""
    bench.store.on_delete = step
    bench.open(Operation.DELETE)
    stream = bench.tasks[0].stream
    bench.run()
    assert stream.steps.done == 1
    step()  # outside an operation it does nothing
    assert stream.steps.done == 1


def test_an_open_that_was_said_twice_is_answered_once(bench):
    stream = bench.open(Operation.STAT)
    bench._ids[0] = stream - 1
    bench.open(Operation.STAT)
    assert len(bench.tasks) == 1


def test_calls_above_the_bound_are_refused_as_busy(bench):
    for _ in range(16):
        bench.open(Operation.STAT)
    assert bench.take() == []
    bench.open(Operation.STAT)
    got = error(bench)
    assert isinstance(got, BusyError)
    assert (got.executed, got.temporary) == (Executed.NO, True)
    assert got.retry_after_s
    bench.run()
    assert len(bench.take()) == 16
    bench.open(Operation.STAT)
    bench.run()
    result(bench)


def test_an_answer_that_cannot_be_sent_is_an_error(bench):
    bench.driver.redirect_url = lambda *_: object()
    bench.open(Operation.REDIRECT_URL)
    bench.run()
    assert "cannot be sent" in str(error(bench))


@pytest.mark.parametrize("end", ["lost", "cancelled", "silent"])
def test_a_put_that_nobody_waits_for_must_not_take_effect(bench, end):
    """The caller may have had it done by another worker, and written since."""
    stream = bench.open(Operation.PUT, payload=b"x", budget_ms=60_000)
    (task,) = bench.tasks
    standing = task.stream.standing
    assert standing.objection(bench.now) is None
    if end == "lost":
        bench.core.disconnected(0, bench.now)
    elif end == "cancelled":
        bench.give(Message(Type.CANCEL, stream))
    else:
        bench.tick(3.1, silent=True)
        bench.give(Message(Type.PONG, offset=1))
    assert standing.objection(bench.now).executed is Executed.NO


def test_a_put_must_not_take_effect_after_its_time_and_a_delete_may(bench):
    bench.open(Operation.PUT, payload=b"x", budget_ms=2_000)
    bench.open(Operation.DELETE, budget_ms=2_000)
    put, delete = (task.stream.standing for task in bench.tasks)
    bench.tick(2.1)
    assert put.objection(bench.now).code == DeadlineExceededError.code
    assert delete.objection(bench.now) is None


def test_streams_have_fences_of_their_own(bench):
    bench.open(Operation.WRITE)
    bench.open(Operation.READ, limit=1_000_000)
    assert [task.stream.standing for task in bench.tasks] == [None, None]


@pytest.mark.parametrize("operation", [Operation.PUT, Operation.MOVE, Operation.DELETE])
def test_what_comes_after_a_long_silence_may_be_old(bench, operation):
    """Until a PING of now is answered: then what comes was sent since."""
    bench.tick(3.1, silent=True)
    bench.take()
    bench.open(operation)
    ping, refused = bench.take()
    assert ping.type is Type.PING
    error = error_of(refused)
    assert (error.executed, error.temporary) == (Executed.NO, True)
    bench.open(Operation.STAT)
    assert len(bench.tasks) == 1
    bench.give(Message(Type.PONG, offset=1))  # of an earlier PING
    bench.open(operation)
    assert len(bench.tasks) == 1
    bench.give(Message(Type.PONG, offset=ping.offset))
    bench.open(operation)
    assert len(bench.tasks) == 2
    assert bench.tasks[1].stream.standing.objection(bench.now) is None

"""Calls that come by lanes: what is run, declined, refused, and not answered."""

from __future__ import annotations

from typing import Any

import pytest

from storagebus.broker.messages import (
    INLINE_BYTES_MAX,
    Open,
    Operation,
    error_of,
    pack,
)
from storagebus.broker.packets import CLOCK_S_MAX
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import (
    BusyError,
    CancelledError,
    DeadlineExceededError,
    Executed,
    PathNotFoundError,
    ProtocolError,
    StorageError,
    UnavailableError,
    UnsupportedMethodError,
)
from storagebus.workers.call_jobs import CallDriver
from storagebus.workers.direct import Direct, DirectCall, Reply
from storagebus.workers.direct_jobs import ReadWhole, Whole
from storagebus.workers.jobs import Outcome
from storagebus.workers.schedule import Schedule, Task

NOW = 1_000.0


def opened(operation: int, at: float = NOW, **more: Any) -> Message:
    return Message(
        Type.OPEN,
        more.pop("stream", 1),
        operation,
        offset=int(at * 1_000_000),
        budget_ms=more.pop("budget_ms", 1_000),
        payload=more.pop("payload", b""),
        fields=pack(Open("s", "/a", **more)),
    )


@pytest.fixture
def direct() -> Direct:
    return Direct(Schedule(2))


def ask(direct: Direct, lane: int, message: Message, now: float = NOW) -> Task:
    task = direct.asked(lane, message, now)
    assert isinstance(task, Task)
    return task


def call_of(task: Task) -> DirectCall:
    assert isinstance(task.stream, DirectCall)
    return task.stream


def test_what_each_operation_runs(direct: Direct) -> None:
    task = ask(direct, 1, opened(Operation.STAT))
    assert task.job == CallDriver(Operation.STAT, Open("s", "/a"))
    assert task.expires == NOW + 1 and not task.bulk
    task = ask(direct, 2, opened(Operation.READ, start=3))
    assert task.job == ReadWhole(Operation.READ, Open("s", "/a", start=3))
    task = ask(direct, 3, opened(Operation.PUT, payload=b"abc"))
    assert isinstance(task.job, CallDriver) and task.job.content == b"abc"


def test_an_answer(direct: Direct) -> None:
    task = ask(direct, 1, opened(Operation.STAT, stream=9))
    assert direct.begin(task, NOW)
    reply = direct.finished(task, Outcome({"size": 5}, driver_us=7), NOW)
    assert reply is not None and reply.lane == 1
    assert reply.message.type is Type.RESULT and reply.message.stream == 9
    assert reply.message.map() == {"size": 5, "driver_us": 7}
    assert direct.done == 1
    ask(direct, 1, opened(Operation.STAT, stream=10))  # the lane is free again


def test_the_bytes_of_a_read(direct: Direct) -> None:
    task = ask(direct, 1, opened(Operation.READ))
    direct.begin(task, NOW)
    reply = direct.finished(task, Outcome(Whole("id", b"abc")), NOW)
    assert reply is not None
    assert reply.message.payload == b"abc"
    assert reply.message.map()["identity"] == "id"


def test_an_error_of_the_driver(direct: Direct) -> None:
    task = ask(direct, 1, opened(Operation.STAT))
    direct.begin(task, NOW)
    error = PathNotFoundError("gone", path="/a")
    reply = direct.finished(task, Outcome(error=error), NOW)
    assert reply is not None
    assert isinstance(error_of(reply.message), PathNotFoundError)
    assert direct.done == 1


@pytest.mark.parametrize("error", [StorageError("odd"), UnavailableError("no backend")])
def test_what_speaks_against_the_worker_is_not_done(
    direct: Direct, error: StorageError
) -> None:
    task = ask(direct, 1, opened(Operation.STAT))
    direct.begin(task, NOW)
    assert direct.finished(task, Outcome(error=error), NOW) is not None
    assert direct.done == 0


def test_what_is_no_call_closes_the_lane(direct: Direct) -> None:
    for message in (
        Message(Type.CANCEL, 1),
        Message(Type.PING),
        opened(Operation.STAT, budget_ms=0),
        opened(Operation.STAT, budget_ms=1_001),
    ):
        with pytest.raises(ProtocolError):
            direct.asked(1, message, NOW)


def test_a_second_call_before_the_answer_closes_the_lane(direct: Direct) -> None:
    ask(direct, 1, opened(Operation.STAT))
    with pytest.raises(ProtocolError, match="second"):
        direct.asked(1, opened(Operation.STAT, stream=2), NOW)
    ask(direct, 2, opened(Operation.STAT))  # another lane's is another matter


@pytest.mark.parametrize(
    "operation",
    [
        Operation.MOVE,
        Operation.DELETE,
        Operation.WRITE,
        Operation.WALK,
        Operation.DESCRIBE,
        Operation.STATUS,
        99,
    ],
)
def test_what_does_not_go_by_a_lane(direct: Direct, operation: int) -> None:
    reply = direct.asked(1, opened(operation), NOW)
    assert isinstance(reply, Reply)
    error = error_of(reply.message)
    assert isinstance(error, UnsupportedMethodError)
    assert error.executed is Executed.NO


def test_a_request_that_is_wrong_is_answered(direct: Direct) -> None:
    wrong = opened(Operation.STAT)._replace(fields=b"\x81\xa4path\x05")
    large = opened(Operation.PUT, payload=bytes(INLINE_BYTES_MAX + 1))
    for message in (wrong, large):
        reply = direct.asked(1, message, NOW)
        assert isinstance(reply, Reply)
        assert isinstance(error_of(reply.message), ProtocolError)


def test_another_clock_is_noticed(direct: Direct) -> None:
    ahead = opened(Operation.PUT, at=NOW + CLOCK_S_MAX + 0.1)
    reply = direct.asked(1, ahead, NOW)
    assert isinstance(reply, Reply)
    error = error_of(reply.message)
    assert isinstance(error, BusyError) and error.executed is Executed.NO


def test_an_old_call_has_expired(direct: Direct) -> None:
    task = ask(direct, 1, opened(Operation.PUT, at=NOW - 5))
    assert task.expires == NOW - 4
    standing = call_of(task).standing
    assert standing is not None
    assert isinstance(standing.objection(NOW), DeadlineExceededError)


def test_a_put_stands_until_its_time_is_over_or_its_client_leaves(
    direct: Direct,
) -> None:
    standing = call_of(ask(direct, 1, opened(Operation.PUT))).standing
    assert standing is not None
    assert standing.objection(NOW + 0.99) is None
    assert isinstance(standing.objection(NOW + 1), DeadlineExceededError)
    direct.gone(1)
    assert isinstance(standing.objection(NOW), CancelledError)


def test_who_has_left_gets_no_answer(direct: Direct) -> None:
    task = ask(direct, 1, opened(Operation.STAT))
    direct.begin(task, NOW)
    direct.gone(1)
    again = ask(direct, 1, opened(Operation.STAT))  # a new lane of this number
    assert direct.finished(task, Outcome({}), NOW) is None
    direct.begin(again, NOW)
    assert direct.finished(again, Outcome({}), NOW) is not None


def test_a_call_that_runs_takes_a_slot() -> None:
    schedule = Schedule(2)
    direct = Direct(schedule)
    tasks = [ask(direct, lane, opened(Operation.STAT)) for lane in range(3)]
    assert [direct.begin(task, NOW) for task in tasks] == [True, True, False]
    assert schedule.oldest_s(NOW + 3) == 3
    reply = direct.decline(call_of(tasks[2]), "full", 0.5)
    error = error_of(reply.message)
    assert isinstance(error, BusyError) and error.retry_after_s == 0.5
    assert direct.idle([0, 1, 2, 3]) == [2, 3]
    direct.finished(tasks[0], Outcome({}), NOW)
    assert direct.begin(ask(direct, 2, opened(Operation.STAT)), NOW)

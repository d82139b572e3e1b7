"""broker/switch.py: what the transcripts do not show of the streams' lives."""

from __future__ import annotations

from scene import Scene

from storagebus.broker.messages import (
    UNTOLD,
    Open,
    Operation,
    Vouched,
    error_of,
    pack,
    parse,
)
from storagebus.broker.wire import BUDGET_MS_MAX, Message, Type
from storagebus.drivers.errors import (
    BusyError,
    CancelledError,
    DeadlineExceededError,
    Executed,
)


def test_a_worker_is_told_who_asks_and_nobody_can_forge_it() -> None:
    scene = Scene()
    scene.greet("w1")
    scene.greet("c1", name="node-7")
    ((_, message),) = scene.open("c1", 1, arguments={"if_match": "v1"})
    vouched = parse(Vouched, message.vouched)
    assert vouched.client == f"node-7#{scene.epochs['c1']}"
    assert (vouched.user, vouched.attempt, vouched.queued_us) == ("", 1, 0)
    assert message.fields == pack(Open("default", "/a", if_match="v1"))


def test_names_of_any_length_are_vouched_for() -> None:
    scene = Scene()
    scene.greet("w1")
    scene.greet("c1", name="ä" * 128)
    ((_, message),) = scene.open("c1", 1)
    assert parse(Vouched, message.vouched).client == "ä" * 128


def test_expired_work_is_not_started_even_when_nobody_ticked() -> None:
    """As after the broker's host was suspended: the worker's answer comes first."""
    scene = Scene()
    scene.greet("w1", slots=1)
    scene.greet("c1")
    scene.open("c1", 1)
    scene.open("c1", 2, budget_ms=100)
    scene.open("c1", 3, budget_ms=BUDGET_MS_MAX)
    scene.now += 5
    sent = scene.say("w1", Type.RESULT, 1)
    assert [(name, m.type, m.stream) for name, m in sent] == [
        ("c1", Type.RESULT, 1),
        ("c1", Type.ERROR, 2),
        ("w1", Type.OPEN, 2),
    ]
    assert sent[1][1].code == DeadlineExceededError.code
    assert sent[2][1].budget_ms == BUDGET_MS_MAX - 5000
    assert scene.core.counters["expired"] == 1


def test_payloads_of_calls_reach_their_worker_as_they_are() -> None:
    scene = Scene()
    scene.greet("w1")
    scene.greet("c1")
    content = bytes(range(256)) * 256
    ((_, message),) = scene.open("c1", 1, Operation.PUT, payload=content)
    assert bytes(message.payload) == content


def test_a_full_queue_names_itself_and_a_time_to_wait() -> None:
    scene = Scene(queue_calls_max=1)
    scene.greet("c1")
    scene.open("c1", 1)
    ((_, message),) = scene.open("c1", 2)
    assert message.code == BusyError.code
    assert message.map()["retry_after_s"] > 0
    assert scene.core.counters["busy"] == 1


def test_a_worker_hears_whether_a_lost_client_was_told_of_its_upload() -> None:
    scene = Scene()
    scene.greet("w1", slots=1)
    scene.greet("c1")
    scene.open("c1", 1, Operation.WRITE)
    scene.open("c1", 2, Operation.WRITE)
    scene.say("w1", Type.ACCEPT, 1, limit=1000)
    sent = scene.raw("c1", Message(Type.GOAWAY, epoch=scene.epochs["c1"]))
    assert [(m.stream, m.code) for _, m in sent] == [(1, 0), (2, UNTOLD)]


def test_detached_streams_end_without_a_client() -> None:
    scene = Scene()
    scene.greet("w1", slots=1)
    scene.greet("c1")
    scene.open("c1", 1, Operation.WRITE)
    scene.say("w1", Type.ACCEPT, 1, limit=1000)
    scene.say("c1", Type.DATA, 1, payload=b"x" * 300)
    sent = scene.raw("c1", Message(Type.GOAWAY, epoch=scene.epochs["c1"]))
    assert [(name, m.type, m.offset) for name, m in sent] == [("w1", Type.DETACH, 300)]
    assert scene.say("w1", Type.CREDIT, 1, offset=300, limit=900) == []
    assert scene.say("w1", Type.RESULT, 1) == []
    assert scene.core.switch.budget.flows == 0


def test_room_of_a_lost_clients_work_is_given_on() -> None:
    scene = Scene()
    scene.greet("w1", slots=1)
    scene.greet("c1")
    scene.greet("c2")
    scene.open("c1", 1)
    scene.open("c2", 1)
    scene.gone.add("c1")
    sent = scene.say("w1", Type.RESULT, 1)
    # The answer finds nobody; the slot is free all the same.
    assert [(name, m.type) for name, m in sent] == [("w1", Type.OPEN)]


def test_what_was_given_up_before_it_arrived_is_not_begun_elsewhere() -> None:
    """OPEN and CANCEL came in one batch; the worker they were for is gone."""
    scene = Scene()
    scene.greet("w1")
    scene.greet("c1")
    epoch, client = scene.epochs["c1"], scene.peer("c1")
    fields = pack(Open(service="default", path="/a"))
    put = Message(
        Type.OPEN, 1, int(Operation.PUT), epoch=epoch, fields=fields, payload=b"new"
    )
    scene.core.received(client, put, scene.now)
    scene.core.received(client, Message(Type.CANCEL, 1, epoch=epoch), scene.now)
    scene.gone.add("w1")
    sent = scene.greet("w2")
    told = {(name, m.type) for name, m in sent}
    assert ("w2", Type.OPEN) not in told
    assert ("c1", Type.ERROR) in told
    (error,) = [m for _, m in sent if m.type is Type.ERROR]
    assert error.code == CancelledError.code
    assert error_of(error).executed is Executed.NO

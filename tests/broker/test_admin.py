"""broker/admin.py: the service `$bus`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scene import Scene

from storagebus.broker.admin import STATUS_BYTES_MAX
from storagebus.broker.messages import BUS_SERVICE, Operation, Result, parse
from storagebus.broker.wire import Message, Type


def ask(scene: Scene, stream: int = 1) -> dict[str, Any]:
    """The status, as a client gets it."""
    sent = scene.open("c1", stream, Operation.STATUS, "", service=BUS_SERVICE)
    ((name, message),) = sent
    assert (name, message.type, message.stream) == ("c1", Type.RESULT, stream)
    status: dict[str, Any] = json.loads(parse(Result, message.fields).status)
    return status


def test_status() -> None:
    scene = Scene(services=("default", "spare"))
    scene.greet("c1")
    scene.greet("w1", pid=4711, slots=3)
    scene.open("c1", 1, Operation.DELETE)
    scene.open("c1", 2, Operation.READ, limit=1000)
    scene.open("c1", 3, service="spare")
    scene.pass_time(2.5)
    status = ask(scene, 4)
    broker = status["broker"]
    assert (broker["id"], broker["pid"], broker["uptime_s"]) == ("b", 7, 2.5)
    assert (broker["clients"], broker["streams"]) == (1, 1)
    assert broker["in_flight_bytes"] == 1000
    assert broker["in_flight_bytes_max"] == scene.core.settings.in_flight_bytes_max
    assert broker["counters"]["opened"] == 3
    (worker,) = status["services"]["default"]["workers"]
    assert worker["pid"] == 4711
    assert worker["state"] == "suspect"
    assert (worker["calls"], worker["slots"], worker["streams"]) == (1, 3, 1)
    assert worker["heard_s"] == 2.5
    assert status["services"]["spare"] == {
        "workers": [],
        "workers_total": 0,
        "calls": 0,
        "streams": 0,
        "slots": 0,
        "waiting": 1,
    }


@pytest.mark.parametrize(
    ("services", "workers"), [(1, 39), (1, 200), (5, 60), (60, 1), (600, 1)]
)
def test_status_always_fits(services: int, workers: int) -> None:
    """The more there is, the less of each is said; the totals stay."""
    scene = Scene()
    scene.greet("c1")
    for service in range(services):
        for number in range(workers):
            name = f"w{service}-{number}"
            scene.greet(name, service=f"service-{service}", pid=number)
    status = ask(scene)
    assert len(json.dumps(status, separators=(",", ":"))) <= STATUS_BYTES_MAX
    assert status["broker"]["services_total"] == services + 1
    for service in list(status["services"].values())[1:]:
        assert service["workers_total"] == workers
    if services < 100:
        assert len(status["services"]) == services + 1
    if workers <= 40 and services == 1:
        shown = status["services"]["service-0"]["workers"]
        assert [worker["pid"] for worker in shown] == list(range(workers))


def test_drain_unroutes_before_it_tells() -> None:
    scene = Scene()
    scene.greet("c1")
    scene.greet("w1")
    (worker,) = scene.core.roster.workers()
    sent = scene.open(
        "c1",
        1,
        Operation.DRAIN,
        "",
        service=BUS_SERVICE,
        arguments={"worker": worker.id},
    )
    assert [(name, m.type) for name, m in sent] == [
        ("w1", Type.DRAIN),
        ("c1", Type.RESULT),
    ]
    assert scene.open("c1", 2) == []


def test_its_calls_leave_nothing_behind() -> None:
    scene = Scene()
    scene.greet("c1")
    for stream in range(1, 50):
        ask(scene, stream)
    sent = scene.say("c1", Type.CANCEL, 5)
    assert sent == []
    sent = scene.raw("c1", Message(Type.PING, epoch=scene.epochs["c1"]))
    assert [m.type for _, m in sent] == [Type.PONG]

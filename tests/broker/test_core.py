"""broker/core.py: chance. Its story is told by tests/transcripts/broker_*.txt."""

from __future__ import annotations

import os

import pytest
from broker_world import World
from scene import Scene

from storagebus.broker.messages import UNFENCED, Operation, Reason, error_of
from storagebus.broker.wire import Message, Type, pack_map
from storagebus.drivers.errors import Executed

SEEDS = int(os.environ.get("STORAGEBUS_SEEDS", "500"))
BLOCK = 50
STEPS = 120


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_simulation(first: int) -> None:
    """Peers that come, work, offend, stall and vanish by chance.

    More with STORAGEBUS_SEEDS=5000; a failure names its seed.
    """
    for seed in range(first, min(first + BLOCK, SEEDS)):
        try:
            World(seed).run(STEPS)
        except BaseException as error:
            error.add_note(f"reproduce: World({seed}).run({STEPS})")
            raise


def test_the_simulation_is_not_idle() -> None:
    """Every kind of ending occurs, else the simulation would prove little."""
    totals: dict[str, int] = {}
    for seed in range(40):
        world = World(seed)
        world.run(STEPS)
        for name, count in world.scene.core.counters.items():
            totals[name] = totals.get(name, 0) + count
    assert totals["opened"] > 500
    # Nobody says there how a worker ended, and no time passes for the others.
    for name in ("workers_crashed", "poisoned", "workers_ejected", "workers_stuck"):
        del totals[name]
    assert all(count >= 3 for count in totals.values()), totals


def test_the_same_seed_is_the_same_story() -> None:
    def story(seed: int) -> list[object]:
        world = World(seed)
        told: list[object] = []
        take = world.take
        world.take = lambda sent: (told.extend(sent), take(sent))[1]  # type: ignore
        world.run(STEPS)
        return told

    assert story(7) == story(7)
    assert story(7) != story(8)


@pytest.mark.parametrize(
    ("kind", "stream", "fields"),
    [
        (Type.HELLO, 0, b"\xc1"),
        (Type.HELLO, 0, pack_map({"role": "client"})),
        (Type.OPEN, 5, b""),
        (Type.OPEN, 5, b"\xc1"),
        (Type.OPEN, 5, pack_map({"service": 5})),
        (Type.OPEN, 5, pack_map({"service": "default", "start": -1})),
    ],
)
def test_maps_that_say_nothing(kind: Type, stream: int, fields: bytes) -> None:
    scene = Scene()
    scene.greet("w1")
    scene.greet("c1")
    scene.greet("c2")
    epoch = scene.epochs["c1"]
    sent = scene.raw("c1", Message(kind, stream, 2, epoch=epoch, fields=fields))
    assert [(name, m.type, m.code) for name, m in sent] == [
        ("c1", Type.GOAWAY, Reason.PROTOCOL)
    ]
    ((name, message),) = scene.open("c2", 1)
    assert (name, message.type) == ("w1", Type.OPEN)


def test_epochs_start_where_no_other_broker_s_do() -> None:
    scene = Scene()
    first = scene.greet("c1")[0][1].epoch
    second = scene.greet("c2")[0][1].epoch
    assert (first, second) == (101, 102)


def test_a_lost_worker_is_found_again_if_the_news_was_early() -> None:
    """The event may come before the socket refuses messages to the peer."""
    scene = Scene()
    scene.greet("w1")
    scene.greet("c1")
    scene.open("c1", 1, Operation.DELETE)
    door = scene.peer("w1").door
    scene.core.disconnected(door, scene.now)
    scene.core.outbox.clear()  # delivered to a queue that nobody reads
    scene.gone.add("w1")
    sent = scene.pass_time(0.1)
    assert [(name, m.type) for name, m in sent] == [("c1", Type.ERROR)]


def test_next_deadline_never_lies() -> None:
    """After a tick the next one is due later, else the loop would spin."""
    for seed in range(20):
        world = World(seed)
        for _ in range(60):
            world.step()
            core, scene = world.scene.core, world.scene
            core.tick(scene.now)
            assert core.next_deadline() > scene.now


def test_what_waited_for_a_broker_that_stood_still_is_not_passed_on() -> None:
    """Its client may have turned to another broker, and written since."""
    scene = Scene()
    scene.greet("w1")
    scene.greet("c1")
    scene.now += 5.0  # nobody has called tick: the process was stopped
    for stream, operation in enumerate(sorted(UNFENCED), 1):
        ((name, message),) = scene.open("c1", stream, operation)
        error = error_of(message)
        assert (name, message.stream) == ("c1", stream)
        assert (error.executed, error.temporary) == (Executed.NO, True)
    ((name, _),) = scene.open("c1", 10, Operation.STAT)
    assert name == "w1"
    # What comes later was sent later.
    scene.pass_time(0.3)
    ((name, message),) = scene.open("c1", 11, Operation.PUT)
    assert (name, message.type) == ("w1", Type.OPEN)


def test_a_worker_that_greets_again_with_work_has_lost_it() -> None:
    """Its clock may have jumped before it said anything in its first session."""
    scene = Scene()
    scene.greet("w1")
    scene.greet("c1")
    assert [message.type for _, message in scene.open("c1", 1)] == [Type.OPEN]
    epoch = scene.epochs["w1"]
    kinds = [(name, message.type) for name, message in scene.greet("w1")]
    assert kinds == [("c1", Type.ERROR), ("w1", Type.WELCOME)]
    assert scene.epochs["w1"] > epoch

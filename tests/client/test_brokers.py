"""client/brokers.py: which of several brokers a client uses."""

from __future__ import annotations

import os

import pytest
from client_scene import ClientScene

from storagebus.broker.messages import Operation, Reason, Result
from storagebus.broker.wire import Type
from storagebus.client.brokers import (
    DOUBT_S,
    PROBE_S,
    RETURN_S,
    STEADY_S,
    in_order,
)
from storagebus.drivers.errors import Executed, UnavailableError


def pair() -> ClientScene:
    scene = ClientScene(brokers=2)
    for index in range(2):
        scene.connect(index)
    scene.take()
    return scene


def pass_time(scene: ClientScene, seconds: float, alive: tuple[int, ...]) -> None:
    """Let time pass in small steps; brokers that live answer every PING."""
    ends = scene.now + seconds
    while scene.now < ends:
        scene.now = min(ends, scene.now + 0.05)
        scene.after(scene.core.tick(scene.now))
        pings = [(i, m) for i, m in scene.sent if m.type is Type.PING]
        scene.sent.clear()
        for index, ping in pings:
            if index in alive:
                scene.say(Type.PONG, 0, index, offset=ping.offset)


def used(scene: ClientScene, key: str) -> int:
    """The broker that a call goes to; it is answered."""
    scene.take()
    scene.open(key)
    ((index, opened),) = [(i, m) for i, m in scene.sent if m.type is Type.OPEN]
    scene.say(Type.RESULT, opened.stream, index, content=Result(size=1, path="/a"))
    return index


@pytest.mark.parametrize("operation", [Operation.STAT, Operation.PUT, Operation.WRITE])
def test_a_broker_that_does_not_answer_is_left_soon(operation: Operation) -> None:
    scene = pair()
    scene.open("k", operation, budget_s=30.0)
    pass_time(scene, PROBE_S + DOUBT_S + 0.2, alive=(1,))
    error = scene.error("k")
    assert isinstance(error, UnavailableError)
    assert error.executed is Executed.MAYBE
    assert used(scene, "next") == 1


@pytest.mark.parametrize("operation", [Operation.MOVE, Operation.DELETE])
def test_what_must_not_run_twice_is_left_to_it(operation: Operation) -> None:
    scene = pair()
    scene.open("k", operation, budget_s=30.0)
    pass_time(scene, PROBE_S + DOUBT_S + 0.2, alive=(1,))
    assert "k" not in scene.told
    scene.say(Type.RESULT, 1, 0, content=Result())
    assert scene.finished("k")


def test_a_broker_that_answers_is_kept_however_long_a_call_takes() -> None:
    scene = pair()
    scene.open("k", budget_s=30.0)
    pass_time(scene, 20.0, alive=(0, 1))
    assert "k" not in scene.told
    assert scene.core.is_open


def test_the_only_broker_is_not_left_for_silence_of_a_second() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("k", budget_s=30.0)
    pass_time(scene, 2.0, alive=())
    assert "k" not in scene.told


def test_another_connection_knew_first() -> None:
    scene = pair()
    scene.open("k", budget_s=30.0)
    scene.after(scene.core.doubt(0, scene.now))
    assert isinstance(scene.error("k"), UnavailableError)
    assert used(scene, "next") == 1
    # It is asked until it answers, though nothing is open there.
    pass_time(scene, 1.2, alive=(0, 1))
    assert not scene.core.brokers[0].suspect


def test_the_preferred_broker_is_used_again_after_a_while() -> None:
    scene = pair()
    assert used(scene, "a") == 0
    scene.lose(0)
    assert used(scene, "b") == 1
    scene.connect(0)
    assert used(scene, "c") == 1
    pass_time(scene, RETURN_S + 0.1, alive=(0, 1))
    assert used(scene, "d") == 0


def test_a_broker_that_comes_and_goes_is_left_alone_for_longer() -> None:
    scene = pair()
    waits = []
    for _ in range(3):
        scene.lose(0)
        scene.connect(0)
        before = scene.now
        while used(scene, f"k{scene.now}") != 0:
            pass_time(scene, 1.0, alive=(0, 1))
        waits.append(scene.now - before)
    assert waits[0] < waits[1] < waits[2]
    pass_time(scene, STEADY_S + 1, alive=(0, 1))
    scene.lose(0)
    assert scene.core.brokers[0].hold_s == RETURN_S


def test_a_broker_that_ends_gets_no_new_work_and_finishes_the_old() -> None:
    scene = pair()
    scene.open("old")
    sent = scene.say(Type.DRAIN, 0, 0)
    assert [message.type for message in sent] == [Type.DRAINED]
    assert used(scene, "new") == 1
    scene.say(Type.RESULT, 1, 0, content=Result())
    assert scene.finished("old")
    scene.go_away(Reason.SHUTDOWN, 0)
    assert used(scene, "newer") == 1


def test_without_another_broker_new_work_waits_for_the_next_one() -> None:
    scene = ClientScene()
    scene.connect()
    scene.say(Type.DRAIN, 0)
    assert scene.open("k") == []
    scene.go_away(Reason.SHUTDOWN)
    scene.lose()
    scene.connect()
    assert [m.type for m in scene.take() if m.type is Type.OPEN] == [Type.OPEN]


def test_a_broker_of_this_host_comes_first_and_chance_decides_between_equals() -> None:
    far = [f"tcp://10.0.0.{n}:7400" for n in range(1, 5)]
    near = "ipc:///run/clients"
    firsts = set()
    for _ in range(200):
        order = in_order([*far, near], os.urandom(16))
        assert order[0] == near
        assert sorted(order) == sorted([*far, near])
        firsts.add(order[1])
    assert firsts == set(far)
    seed = os.urandom(16)
    assert in_order(far, seed) == in_order(far[::-1], seed)
    # Without one broker the order of the others stays.
    whole = in_order(far, seed)
    assert in_order([e for e in far if e != whole[0]], seed) == whole[1:]

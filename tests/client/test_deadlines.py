"""client/streams.py: one deadline for a call that goes on elsewhere, whatever moves."""

from __future__ import annotations

from client_scene import ClientScene

from storagebus.broker.messages import Accepted, Operation
from storagebus.broker.wire import Type
from storagebus.client.requests import Sent
from storagebus.drivers.errors import DeadlineExceededError


def going_on(mark: int, budget_s: float, size: int) -> ClientScene:
    """An upload that had `mark` bytes before, of which its new worker has `size`."""
    scene = ClientScene()
    scene.connect()
    scene.open("k", Operation.WRITE, budget_s=budget_s, patience_s=10.0, mark=mark)
    scene.take()
    accepted = Accepted(upload_id="u", size=size)
    scene.say(Type.ACCEPT, 1, content=accepted, limit=0)
    return scene


def test_what_goes_on_elsewhere_has_what_is_left_until_it_is_further() -> None:
    """A slow resend, however it moves, is none of the progress that is waited
    for; what comes after it is."""
    for size, dies in ((900, False), (800, True)):
        scene = going_on(mark=900, budget_s=2.0, size=size)
        scene.write("k", bytes(200))
        for number in range(1, 6):
            scene.pass_time(0.45)
            scene.say(Type.CREDIT, 1, offset=0, limit=number * 20)
        if dies:
            assert isinstance(scene.error("k"), DeadlineExceededError)
        else:
            (*_, sent) = scene.events("k")
            assert isinstance(sent, Sent)
            assert (sent.sent, sent.moved_at) == (100, scene.now)


def test_a_commit_behind_a_resend_has_what_is_left() -> None:
    scene = going_on(mark=900, budget_s=2.0, size=800)
    scene.write("k", bytes(100))
    scene.pass_time(0.9)
    (_, commit) = [
        *scene.say(Type.CREDIT, 1, offset=0, limit=500),
        *scene.end("k", Type.COMMIT),
    ]
    assert commit.type is Type.COMMIT
    assert 900 <= commit.budget_ms <= 1_100
    scene.pass_time(0.9)
    scene.say(Type.PONG, 0, offset=1)
    scene.pass_time(0.3)
    assert isinstance(scene.error("k"), DeadlineExceededError)


def test_when_its_call_has_ended_a_resend_may_take_its_time() -> None:
    scene = going_on(mark=900, budget_s=2.0, size=800)
    scene.write("k", bytes(100))
    scene.relax("k")
    for number in range(1, 9):
        scene.pass_time(0.9)
        scene.say(Type.CREDIT, 1, offset=0, limit=number)
    assert isinstance(scene.events("k")[-1], Sent)


def test_the_worker_is_told_the_time_of_each_wait() -> None:
    """What is left of a call is no measure for the waits that follow."""
    for operation in (Operation.WRITE, Operation.READ):
        scene = ClientScene()
        scene.connect()
        (opened,) = scene.open("k", operation, budget_s=0.2, patience_s=10.0, mark=0)
        assert opened.budget_ms == 9_900


def test_the_clock_is_not_set_back_before_there_is_something_new() -> None:
    for what in (Type.ACCEPT, Type.DATA):
        scene = ClientScene()
        scene.connect()
        scene.open("k", Operation.LIST, budget_s=2.0, window=9_000, mark=100)
        scene.pass_time(0.9)
        if what is Type.ACCEPT:
            scene.say(what, 1, content=Accepted())
        else:
            scene.say(what, 1, offset=0, payload=bytes(100))
            scene.consumed("k", 100)
        scene.pass_time(0.9)
        scene.say(Type.PONG, 0, offset=1)
        scene.pass_time(0.3)
        assert isinstance(scene.error("k"), DeadlineExceededError)

"""broker/notices.py: what an owner is told, and only a bounded part of it."""

from __future__ import annotations

from random import Random

from scene import EPOCH, Scene, hello_of

from storagebus.broker.core import BrokerCore
from storagebus.broker.messages import Hello, Reason, pack
from storagebus.broker.notices import (
    NOTICES_A_SECOND_MAX,
    NOTICES_MAX,
    Joined,
    Left,
    NoticeRate,
    TurnedAway,
)
from storagebus.broker.sessions import Door, Peer
from storagebus.broker.settings import BrokerSettings
from storagebus.broker.wire import Message, Type


def test_workers_come_and_go() -> None:
    scene = Scene()
    notices = scene.core.notices
    scene.greet("c1")
    assert not notices  # clients come and go by the thousand
    scene.greet("w1", pid=5)
    scene.greet("w2", instance="other")
    scene.lose("w1")
    joined, turned, left = notices
    assert joined == Joined(hello_of("w1", "worker", pid=5), "5-77310000")
    assert isinstance(turned, TurnedAway)
    assert (turned.hello.name, turned.reason) == ("w2", Reason.REFUSED)
    assert "other parameters" in turned.detail
    assert left == Left(joined.hello, joined.worker)


def test_whoever_does_not_look_misses_the_oldest() -> None:
    scene = Scene()
    for number in range(NOTICES_MAX + 50):
        scene.greet(f"w{number}", service=f"s{number}", protocol=(9, 9))
    assert len(scene.core.notices) == NOTICES_MAX
    assert scene.core.notices[0].hello.service == "s50"


def test_an_owner_admits_its_own_workers_only() -> None:
    def admit(hello: Hello) -> str:
        return "" if hello.cookie == "secret" else "wrong cookie"

    core = BrokerCore(
        BrokerSettings((), ()), seed=EPOCH, chance=Random(0), now=0.0, admit=admit
    )

    def answer(name: str, cookie: str) -> Message:
        hello = hello_of(name, "worker", cookie=cookie)
        message = Message(Type.HELLO, fields=pack(hello))
        core.received(Peer(Door.WORKERS, name.encode()), message, 0.0)
        return core.outbox.pop().message

    refused = answer("w1", "guess")
    assert (refused.type, refused.code) == (Type.GOAWAY, Reason.REFUSED)
    assert answer("w1", "secret").type is Type.WELCOME
    # Whoever guesses does not end the session of the one who knows.
    assert answer("w1", "guess").code == Reason.REFUSED


def test_a_flood_of_notices_takes_a_bounded_number_of_lines() -> None:
    rate = NoticeRate()
    told = [rate.may_tell(5.0 + number / 1000) for number in range(100)]
    assert told == [True] * NOTICES_A_SECOND_MAX + [False] * (
        100 - NOTICES_A_SECOND_MAX
    )
    assert rate.passed(5.5) == 0
    assert rate.passed(6.1) == 100 - NOTICES_A_SECOND_MAX
    assert rate.passed(6.2) == 0, "said once"
    assert rate.may_tell(6.2)

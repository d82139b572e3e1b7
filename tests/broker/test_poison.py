"""broker/poison.py: which requests end worker after worker, and how the broker acts."""

from __future__ import annotations

import pytest
from scene import Scene, Sent

from storagebus.broker.messages import (
    BUS_SERVICE,
    Open,
    Operation,
    error_message,
    error_of,
    pack,
)
from storagebus.broker.poison import (
    DEATHS_MAX,
    REMEMBERED_MAX,
    REMEMBERED_S,
    UNEXPLAINED_MAX,
    Poison,
    digest_of,
)
from storagebus.broker.wire import TERMINAL, Message, Type, pack_map
from storagebus.drivers.errors import (
    CancelledError,
    PathNotFoundError,
    PoisonRequestError,
    StorageError,
)

BAD, GOOD = b"bad", b"good"


def test_crashes_count_and_kills_do_not() -> None:
    poison = Poison()
    for number in range(20):
        poison.lost(f"killed{number}", [BAD], 0.0)
        poison.ended(f"killed{number}", crashed=False)
    assert poison.deaths(BAD, 0.0) == len(poison) == 0
    for number in range(DEATHS_MAX):
        assert not poison.is_poison(BAD)
        poison.lost(f"w{number}", [BAD], 0.0)
        poison.ended(f"w{number}", crashed=True)
    assert poison.is_poison(BAD)


def test_the_news_may_come_before_the_loss() -> None:
    poison = Poison()
    poison.ended("killed", crashed=False)
    poison.lost("killed", [BAD], 0.0)
    assert poison.deaths(BAD, 0.0) == 0
    for number in range(DEATHS_MAX):
        poison.ended(f"w{number}", crashed=True)
        poison.lost(f"w{number}", [BAD], 0.0)
    assert poison.is_poison(BAD)


def test_what_nobody_explains_counts_less() -> None:
    poison = Poison()
    for number in range(UNEXPLAINED_MAX):
        assert not poison.is_poison(BAD)
        poison.lost(f"w{number}", [BAD], 0.0)
    assert poison.is_poison(BAD)
    poison.returned("w0")
    assert not poison.is_poison(BAD)


def test_a_worker_that_came_back_may_still_crash() -> None:
    poison = Poison()
    poison.lost("w", [BAD], 0.0)
    poison.returned("w")
    poison.lost("w", [BAD], 0.0)
    poison.ended("w", crashed=True)
    assert poison.deaths(BAD, 0.0) == 1


def test_an_answer_clears_and_time_forgets() -> None:
    poison = Poison()
    poison.lost("w", [BAD, GOOD], 0.0)
    poison.clear(GOOD)
    assert (poison.deaths(BAD, 1.0), poison.deaths(GOOD, 1.0)) == (1, 0)
    assert poison.deaths(BAD, REMEMBERED_S + 1) == 0
    assert len(poison) == 0


def test_what_nobody_asks_again_is_forgotten_too() -> None:
    """As long as something is remembered, every call costs a digest."""
    poison = Poison()
    for number in range(100):
        poison.lost("w", [b"%d" % number], float(number))
    assert poison.deaths(GOOD, REMEMBERED_S + 49.5) == 0
    assert len(poison) == 50
    assert poison.deaths(b"60", REMEMBERED_S + 49.5) == 1
    assert poison.deaths(GOOD, REMEMBERED_S + 100) == len(poison) == 0


def test_the_memory_is_bounded() -> None:
    poison = Poison()
    digests = [number.to_bytes(4) for number in range(REMEMBERED_MAX + 10)]
    poison.lost("w", digests, 0.0)
    assert len(poison) == REMEMBERED_MAX
    assert poison.deaths(digests[0], 0.0) == 0


def test_equal_requests_have_one_digest_whoever_asks() -> None:
    def digest(path: str, payload: bytes = b"", code: int = 6) -> bytes:
        message = Message(
            Type.OPEN, 1, code, fields=pack(Open("default", path)), payload=payload
        )
        return digest_of("default", message)

    message = Message(Type.OPEN, 7, 6, budget_ms=9, fields=pack(Open("default", "/a")))
    assert digest("/a") == digest_of("default", message)
    others = [digest("/b"), digest("/a", b"x"), digest("/a", code=2)]
    assert len({digest("/a"), *others}) == 4


def test_the_way_that_the_bytes_take_makes_no_other_request() -> None:
    def digest(**more: object) -> bytes:
        asked = {"service": "default", "path": "/a", **more}
        return digest_of("default", Message(Type.OPEN, 1, 5, fields=pack_map(asked)))

    alike = [
        digest(),
        digest(lane="host"),
        digest(lane="host", lane_kinds=["file"], lane_window=10),
        digest(lane_kinds=["memory", "calls"], lane_window=20),
    ]
    assert len(set(alike)) == 1
    assert digest(note="lane") != digest()
    assert digest(start=5) != digest()
    assert digest(start=5, lane="host") == digest(start=5)
    broken = [Message(Type.OPEN, 1, 5, fields=b"\xc1lane%d" % n) for n in (1, 2)]
    assert len({digest_of("default", message) for message in broken}) == 2


# -- in the broker's machine ----------------------------------------------------


def opened(sent: list[Sent]) -> list[tuple[str, int]]:
    """The workers that got an OPEN, and its id there."""
    return [(name, m.stream) for name, m in sent if m.type is Type.OPEN]


def answers(sent: list[Sent]) -> list[Message]:
    """What the client was told last."""
    return [m for name, m in sent if name == "c1" and m.type in TERMINAL]


def test_the_call_that_ends_every_worker_is_refused_in_the_end() -> None:
    scene = Scene()
    scene.greet("c1")
    for number in range(DEATHS_MAX):
        name = f"w{number}"
        scene.greet(name, cookie=name)
        ((got, _),) = opened(scene.open("c1", number + 1, Operation.STAT, "/bad"))
        assert got == name
        scene.lose(name)
        scene.core.ended(name, crashed=True)
    scene.greet("w9", cookie="w9")
    (refused,) = answers(scene.open("c1", 9, Operation.STAT, "/bad"))
    error = error_of(refused)
    assert isinstance(error, PoisonRequestError)
    assert not error.temporary
    assert scene.core.counters["poisoned"] == 1
    assert scene.core.counters["workers_crashed"] == DEATHS_MAX
    assert opened(scene.open("c1", 10, Operation.STAT, "/good"))


@pytest.mark.parametrize("answer", [CancelledError(), PathNotFoundError()])
def test_only_who_was_begun_is_cleared_by_an_answer(answer: StorageError) -> None:
    """What was given up while it waited has shown nothing."""
    scene = Scene()
    scene.greet("c1")
    for number in range(DEATHS_MAX):
        name = f"w{number}"
        scene.greet(name, cookie=name)
        scene.open("c1", 2 * number + 1, Operation.STAT, "/bad")
        if number == DEATHS_MAX - 1:
            scene.raw(name, error_message(answer, 1).in_session(scene.epochs[name]))
            scene.open("c1", 2 * number + 2, Operation.STAT, "/bad")
        scene.lose(name)
        scene.core.ended(name, crashed=True)
    scene.greet("w9", cookie="w9")
    sent = scene.open("c1", 99, Operation.STAT, "/bad")
    is_cleared = isinstance(answer, PathNotFoundError)
    assert bool(opened(sent)) is is_cleared


def test_suspects_get_a_worker_one_by_one() -> None:
    scene = Scene()
    scene.greet("c1")
    scene.greet("w1", slots=8)
    for number, path in enumerate(("/bad", "/x", "/y"), 1):
        scene.open("c1", number, Operation.STAT, path)
    scene.lose("w1")
    scene.greet("w2", slots=8)
    assert opened(scene.open("c1", 11, Operation.STAT, "/x")) == [("w2", 1)]
    assert opened(scene.open("c1", 12, Operation.STAT, "/bad")) == []
    assert opened(scene.open("c1", 13, Operation.STAT, "/y")) == []
    # Others are not kept waiting by them.
    assert opened(scene.open("c1", 14, Operation.STAT, "/z")) == [("w2", 2)]
    assert opened(scene.say("w2", Type.RESULT, 1)) == [("w2", 3)]  # /bad, alone
    scene.lose("w2")
    assert opened(scene.greet("w3", slots=8)) == [("w3", 1)]  # /y, which waited
    # /x was answered and is trusted: it needs no worker of its own.
    assert opened(scene.open("c1", 21, Operation.STAT, "/x")) == [("w3", 2)]
    assert opened(scene.open("c1", 22, Operation.STAT, "/bad")) == []


def test_what_was_answered_in_part_is_not_suspected() -> None:
    scene = Scene()
    scene.greet("c1")
    scene.greet("w1")
    scene.open("c1", 1, Operation.READ, "/long", limit=1 << 20)
    scene.say("w1", Type.ACCEPT, 1)
    scene.lose("w1")
    assert len(scene.core.switch.poison) == 0


def test_a_worker_whose_connection_broke_is_no_death() -> None:
    scene = Scene()
    scene.greet("c1")
    scene.greet("w1", cookie="w1")
    scene.open("c1", 1, Operation.STAT, "/slow")
    scene.greet("w1", cookie="w1")
    assert len(scene.core.switch.poison) == 0


def test_the_parent_of_a_worker_tells_by_a_call() -> None:
    scene = Scene()
    scene.greet("c1")
    scene.open(
        "c1",
        1,
        Operation.OBITUARY,
        service=BUS_SERVICE,
        arguments={"cookie": "k", "crashed": True},
    )
    assert scene.core.counters["workers_crashed"] == 1

"""broker/outliers.py, and quarantine: who gets no new work, and for how long."""

from __future__ import annotations

import pytest
from scene import Scene

from storagebus.broker.core import STUCK_S
from storagebus.broker.messages import (
    OWN_FAULTS,
    Load,
    Operation,
    error_message,
    pack,
)
from storagebus.broker.outliers import (
    EJECTED_S,
    EJECTED_SHARE_MAX,
    Score,
    review,
)
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import (
    CODES,
    PathNotFoundError,
    StorageError,
    UnavailableError,
)


def score(good: int, bad: int) -> Score:
    made = Score()
    for _ in range(good):
        made.note(failed=False)
    for _ in range(bad):
        made.note(failed=True)
    return made


def test_who_fails_while_the_others_do_not_is_ejected_for_a_while() -> None:
    bad, good = score(0, 10), score(10, 0)
    assert review([bad, good], 0.0) == [bad]
    assert review([bad, good], EJECTED_S - 0.1) == []
    assert bad.until is not None
    review([bad, good], EJECTED_S)
    assert bad.until is None
    for _ in range(10):
        bad.note(failed=True)
        good.note(failed=False)
    assert review([bad, good], 100.0) == [bad]
    assert bad.until == 100.0 + 2 * EJECTED_S


@pytest.mark.parametrize(
    "scores",
    [
        [score(0, 10), score(0, 10)],  # it is the backend
        [score(0, 10), score(5, 5)],
        [score(0, 10)],  # nobody to compare with
        [score(0, 10), score(0, 0)],
        [score(0, 4), score(10, 0)],  # too few to say
        [score(8, 4), score(100, 0)],  # it does most of its work
    ],
)
def test_who_is_left_alone(scores: list[Score]) -> None:
    assert review(scores, 0.0) == []


def test_never_more_than_a_part_is_ejected() -> None:
    scores = [score(0, 20) for _ in range(4)] + [score(200, 0) for _ in range(3)]
    ejected = review(scores, 0.0)
    assert 0 < len(ejected) <= len(scores) * EJECTED_SHARE_MAX
    assert review(scores, 1.0) == []


def test_one_that_is_ejected_does_not_cover_for_another() -> None:
    first, second = score(0, 20), score(20, 0)
    scores = [first, second, score(200, 0), score(200, 0)]
    assert review(scores, 0.0) == [first]
    for _ in range(100):
        second.note(failed=True)
    assert first.failed_share > second.failed_share
    assert review(scores, 1.0) == [second]


def test_old_failures_are_forgotten() -> None:
    bad, good = score(0, 10), score(0, 10)
    for second in range(30):
        assert review([bad, good], float(second)) == []
    assert bad.answers < 0.1


def test_only_a_workers_own_faults_count() -> None:
    assert set(CODES) > OWN_FAULTS
    assert PathNotFoundError.code not in OWN_FAULTS


# -- in the broker's machine ----------------------------------------------------


def two_calls(scene: Scene, number: int, bad: str) -> set[str]:
    """Two calls at once; returns who got them. The bad worker fails."""
    sent = scene.open("c1", number) + scene.open("c1", number + 1)
    opened = [(name, m.stream) for name, m in sent if m.type is Type.OPEN]
    for name, stream in opened:
        if name == bad:
            failed = error_message(UnavailableError("no backend"), stream)
            scene.say(name, Type.ERROR, stream, **_of(failed))
        else:
            scene.say(name, Type.RESULT, stream)
    return {name for name, _ in opened}


def _of(message: Message) -> dict[str, object]:
    return {"code": message.code, "fields": message.fields}


def pass_time(scene: Scene, seconds: float) -> None:
    """Time passes, and every worker answers its pings."""
    for _ in range(int(seconds * 10)):
        for name, message in scene.pass_time(0.1):
            if message.type is Type.PING and name[0] == "w":
                scene.say(name, Type.PONG, offset=message.offset)


def test_a_worker_that_only_fails_gets_no_new_work() -> None:
    scene = Scene()
    scene.greet("c1")
    for name in ("w1", "w2"):
        scene.greet(name, slots=50)
    for number in range(1, 21, 2):
        assert two_calls(scene, number, bad="w1") == {"w1", "w2"}
    pass_time(scene, 1.5)
    assert scene.core.counters["workers_ejected"] == 1
    for number in range(101, 121, 2):
        assert two_calls(scene, number, bad="w1") == {"w2"}
    pass_time(scene, EJECTED_S + 1)
    assert two_calls(scene, 201, bad="") == {"w1", "w2"}


def test_calls_by_lanes_count_as_the_others_successes() -> None:
    scene = Scene()
    scene.greet("c1")
    for name in ("w1", "w2"):
        scene.greet(name, slots=50)
    done = 0
    for number in range(1, 8):
        # All that reaches the broker is what fails at one of them.
        opened = scene.open("c1", number)
        for name, message in opened:
            if message.type is Type.OPEN and name == "w1":
                failed = error_message(StorageError("no"), message.stream)
                scene.say(name, Type.ERROR, message.stream, **_of(failed))
            elif message.type is Type.OPEN:
                scene.say("c1", Type.CANCEL, number)
        done += 10
        scene.say("w2", Type.PONG, offset=1, fields=pack(Load(direct=done)))
        scene.say("w1", Type.PONG, offset=1, fields=pack(Load(direct=0)))
    assert scene.core.counters["workers_ejected"] == 0
    pass_time(scene, 1.5)
    assert scene.core.counters["workers_ejected"] == 1


def test_a_stuck_worker_gets_no_new_work_while_there_is_another() -> None:
    scene = Scene()
    scene.greet("c1")
    scene.greet("w1", slots=8)
    scene.open("c1", 1, Operation.STAT)
    scene.say("c1", Type.CANCEL, 1)
    assert scene.core.counters["given_up"] == 1
    pass_time(scene, STUCK_S + 1.5)
    assert scene.core.counters["workers_stuck"] == 1
    # It is all that there is.
    ((name, _),) = [x for x in scene.open("c1", 2) if x[1].type is Type.OPEN]
    assert name == "w1"
    scene.greet("w2", slots=8)
    for number in range(3, 8):
        ((name, _),) = [x for x in scene.open("c1", number) if x[1].type is Type.OPEN]
        assert name == "w2"
    failed = error_message(StorageError("cancelled"), 1)
    scene.say("w1", Type.ERROR, 1, **_of(failed))
    pass_time(scene, 1.5)
    ((name, _),) = [x for x in scene.open("c1", 9) if x[1].type is Type.OPEN]
    assert name == "w1"


def test_a_stuck_worker_works_when_the_other_one_is_about_to_end() -> None:
    scene = Scene()
    scene.greet("c1")
    scene.greet("w1", slots=8)
    scene.open("c1", 1, Operation.STAT)
    scene.say("c1", Type.CANCEL, 1)
    scene.greet("w2", slots=8)
    pass_time(scene, STUCK_S + 1.5)
    scene.say("w2", Type.DRAIN)
    ((name, _),) = [x for x in scene.open("c1", 2) if x[1].type is Type.OPEN]
    assert name == "w1"

"""The pool's decisions, told as stories on a clock that the test turns."""

from itertools import count

import pytest

from storagebus.workers.children import (
    ChildEnded,
    ChildLeaving,
    ChildReady,
    Ending,
    GaveUp,
    PoolStopped,
    ProcessSpec,
    Readiness,
    Rolled,
)
from storagebus.workers.members import Action, Kill, Spawn, State, Terminate
from storagebus.workers.pool import Pool
from storagebus.workers.restart import RestartPolicy

POLICY = RestartPolicy(delay_first_s=1.0, early_deaths_max=3, deaths_max=5)
CRASH = Ending(signal=11, tail=("line one", "line two"))
KILLED = Ending(signal=9)
DONE = Ending(code=0)


class Story:
    """A pool on a clock of its own."""

    def __init__(self, instances: int = 2, **given: object) -> None:
        fields = {"start_timeout_s": 10.0, "grace_s": 30.0, "restart": POLICY} | given
        spec = ProcessSpec("acme", ("run-acme",), instances=instances, **fields)  # type: ignore[arg-type]
        self.now = 100.0
        self.pool = Pool(spec, count(1))
        self.told: list[Action] = self.pool.start(self.now)

    def ready(self, *children: int) -> list[Action]:
        return [
            action for child in children for action in self.pool.ready(child, self.now)
        ]

    def died(self, child: int, ending: Ending = CRASH) -> list[Action]:
        return self.pool.died(child, ending, self.now, 0.0)

    def after(self, seconds: float) -> list[Action]:
        self.now += seconds
        return self.pool.tick(self.now)

    def states(self) -> dict[int, State]:
        return {child: member.state for child, member in self.pool.members.items()}


def acts(actions: list[Action]) -> list[Action]:
    """What is to be done, without the news."""
    return [
        action for action in actions if isinstance(action, Spawn | Terminate | Kill)
    ]


def one(actions: list[Action], kind: type[Action]) -> Action:
    (found,) = [action for action in actions if isinstance(action, kind)]
    return found


def spawn(*children: int) -> list[Action]:
    return [Spawn("acme", child) for child in children]


def test_it_starts_what_is_asked_for_and_says_who_is_ready() -> None:
    story = Story(instances=2)
    assert story.told == spawn(1, 2)
    assert story.ready(2) == [ChildReady("acme", 2)]
    assert not story.pool.is_complete
    story.ready(1)
    assert story.pool.is_complete
    assert story.pool.ready_count == 2
    assert story.pool.next_deadline() is None


def test_readiness_counts_once_and_only_for_its_own_children() -> None:
    story = Story(instances=1)
    story.ready(1)
    assert story.ready(1) == []
    assert story.ready(77) == []
    assert story.pool.died(77, CRASH, story.now, 0.0) == []


def test_a_killed_child_is_replaced_at_once() -> None:
    story = Story(instances=2)
    story.ready(1, 2)
    ended = one(story.died(1, KILLED), ChildEnded)
    assert ended == ChildEnded(
        "acme", 1, KILLED, expected=False, was_ready=True, what="was ended by SIGKILL"
    )
    assert story.after(0) == spawn(3)


def test_a_crash_loop_waits_longer_each_time_and_says_at_last_why_it_ends() -> None:
    story = Story(instances=1)
    waits, child = [], 1
    for child in range(1, 5):
        story.ready(child)
        story.died(child)
        due = story.pool.next_deadline()
        assert due is not None
        waits.append(due - story.now)
        assert acts(story.after(waits[-1])) == spawn(child + 1)
    assert waits == [0.0, 2.0, 4.0, 8.0]
    story.ready(5)
    gave_up = one(story.died(5), GaveUp)
    assert isinstance(gave_up, GaveUp)
    assert gave_up.whole_pool
    assert "run-acme was ended by SIGSEGV: 5 times in a row" in gave_up.reason
    assert gave_up.reason.endswith("line one\nline two")
    assert story.pool.gave_up == gave_up.reason
    assert story.after(1e6) == []


def test_a_child_that_hangs_at_start_is_killed_and_blamed() -> None:
    story = Story(instances=1)
    assert story.after(9.9) == []
    assert story.after(0.2) == [Kill(1)]
    assert story.after(60) == []
    ended = one(story.died(1, KILLED), ChildEnded)
    assert isinstance(ended, ChildEnded)
    assert ended.detail == "was not ready within 10 s and was killed"
    # Our own SIGKILL is no excuse: three of these are the end.
    for child in (2, 3):
        story.after(10)
        story.after(10)
        gave_up = story.died(child, KILLED)
    assert isinstance(one(gave_up, GaveUp), GaveUp)


def test_places_back_off_apart_from_one_another() -> None:
    story = Story(instances=2)
    story.ready(1)
    for child in (2, 3, 4):
        given_up = story.died(child)
        story.after(5)
    news = one(given_up, GaveUp)
    assert isinstance(news, GaveUp)
    assert not news.whole_pool
    assert story.pool.gave_up is None
    assert story.states() == {1: State.READY}
    assert acts(story.pool.revive(story.now)) == spawn(5)


def test_a_hopeless_exit_code_is_not_tried_again() -> None:
    story = Story(instances=1)
    news = one(story.died(1, Ending(code=78, tail=("bad bucket",))), GaveUp)
    assert isinstance(news, GaveUp)
    assert "exited with code 78" in news.reason
    assert "bad bucket" in news.reason


def test_living_long_enough_is_readiness_where_the_specification_says_so() -> None:
    story = Story(instances=1, ready=Readiness.ALIVE, alive_s=0.5)
    assert story.after(0.4) == []
    assert story.after(0.1) == [ChildReady("acme", 1)]


def test_growing_starts_and_shrinking_drains_the_newest() -> None:
    story = Story(instances=1)
    assert story.pool.resize(3, story.now) == spawn(2, 3)
    story.ready(1, 2, 3)
    assert acts(story.pool.resize(1, story.now)) == [Terminate(3), Terminate(2)]
    assert story.pool.is_complete
    assert story.after(29.9) == []
    ended = one(story.died(3, DONE), ChildEnded)
    assert isinstance(ended, ChildEnded)
    assert ended.expected
    assert story.after(0.2) == [Kill(2)]
    assert acts(story.died(2, KILLED)) == []
    with pytest.raises(ValueError, match="instances is -1"):
        story.pool.resize(-1, story.now)


def test_a_place_can_be_taken_anew_while_its_former_child_drains() -> None:
    story = Story(instances=2)
    story.ready(1, 2)
    story.pool.resize(1, story.now)
    assert story.pool.resize(2, story.now) == spawn(3)
    story.ready(3)
    assert acts(story.died(2, DONE)) == []
    assert story.pool.is_complete


def test_a_rolling_restart_starts_the_new_one_before_the_old_one_goes() -> None:
    story = Story(instances=2)
    story.ready(1, 2)
    assert story.pool.roll(story.now) == spawn(3)
    assert story.ready(3) == [
        ChildReady("acme", 3),
        Terminate(1),
        ChildLeaving("acme", 1),
    ]
    assert story.pool.is_complete
    assert acts(story.died(1, DONE)) == spawn(4)
    assert acts(story.ready(4)) == [Terminate(2)]
    assert story.died(2, DONE)[1:] == [Rolled("acme")]
    assert story.states() == {3: State.READY, 4: State.READY}


def test_without_surge_the_old_one_goes_first() -> None:
    story = Story(instances=2, surge=False)
    story.ready(1, 2)
    assert acts(story.pool.roll(story.now)) == [Terminate(1)]
    assert acts(story.died(1, DONE)) == spawn(3)
    assert acts(story.ready(3)) == [Terminate(2)]
    assert acts(story.died(2, DONE)) == spawn(4)
    assert story.ready(4) == [ChildReady("acme", 4), Rolled("acme")]


def test_a_new_child_that_dies_breaks_the_rolling_restart_off() -> None:
    story = Story(instances=2)
    story.ready(1, 2)
    story.pool.roll(story.now)
    assert one(story.died(3), Rolled) == Rolled(
        "acme", "the new process was ended by SIGSEGV"
    )
    assert story.states() == {1: State.READY, 2: State.READY}
    assert story.after(1e6) == []


def test_an_old_child_that_dies_in_a_rolling_restart_gives_way_to_its_successor() -> (
    None
):
    story = Story(instances=1)
    story.ready(1)
    story.pool.roll(story.now)
    assert acts(story.died(1)) == []
    assert story.after(0) == []
    assert story.ready(2) == [ChildReady("acme", 2), Rolled("acme")]


def test_shrinking_away_the_place_that_rolls_goes_on_with_the_next() -> None:
    story = Story(instances=2)
    story.ready(1, 2)
    story.pool.roll(story.now)
    story.ready(3)
    story.died(1, DONE)
    assert 4 in story.states()  # the successor of child 2
    told = story.pool.resize(1, story.now)
    assert sorted(action.child for action in told if isinstance(action, Terminate)) == [
        2,
        4,
    ]
    assert told[-1] == Rolled("acme")


def test_asking_twice_rolls_all_places_again() -> None:
    story = Story(instances=1)
    story.ready(1)
    story.pool.roll(story.now)
    assert story.pool.roll(story.now) == []
    story.ready(2)
    assert acts(story.died(1, DONE)) == spawn(3)
    story.ready(3)
    assert one(story.died(2, DONE), Rolled) == Rolled("acme")


def test_replacing_a_stuck_child_asks_then_kills_then_starts_another() -> None:
    story = Story(instances=1)
    story.ready(1)
    told = story.pool.replace(1, "answered no ping for 20 s", story.now, grace_s=2.0)
    assert acts(told) == [Terminate(1)]
    assert story.after(2.0) == [Kill(1)]
    ended = one(story.died(1, KILLED), ChildEnded)
    assert isinstance(ended, ChildEnded)
    assert ended.detail == "was replaced because it answered no ping for 20 s"
    assert not ended.expected
    assert acts(story.after(0)) == spawn(2)


def test_stop_asks_kills_after_the_grace_and_starts_nothing_more() -> None:
    story = Story(instances=3)
    story.ready(1, 2)
    story.died(1)  # would come back
    told = story.pool.stop(story.now)
    assert acts(told) == [Terminate(2), Terminate(3)]
    assert story.died(3, DONE)[-1] != PoolStopped("acme")
    assert story.after(30) == [Kill(2)]
    assert story.died(2, KILLED)[-1] == PoolStopped("acme")
    assert story.pool.stopped
    assert story.pool.resize(5, story.now) == []
    assert story.pool.roll(story.now) == []
    assert story.after(1e6) == []


def test_a_second_stop_can_hurry_the_first() -> None:
    story = Story(instances=1)
    story.ready(1)
    story.pool.stop(story.now)
    story.pool.stop(story.now, grace_s=0.0)
    assert story.after(0) == [Kill(1)]


def test_an_empty_pool_stops_at_once_and_once() -> None:
    story = Story(instances=0)
    assert story.pool.is_complete
    assert story.pool.stop(story.now) == [PoolStopped("acme")]
    assert story.pool.stop(story.now) == []


def test_a_rolling_restart_tries_a_place_again_that_was_given_up() -> None:
    story = Story(instances=1)
    story.died(1, Ending(code=78))
    assert story.pool.gave_up is not None
    assert acts(story.pool.roll(story.now)) == spawn(2)
    assert story.pool.gave_up is None
    assert story.ready(2) == [ChildReady("acme", 2), Rolled("acme")]

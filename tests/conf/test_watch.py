"""The judge of health, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.conf.health import (
    Action,
    Process,
    Replace,
    Report,
    Revive,
    Worker,
)
from storagebus.conf.watch import (
    BROKER_SILENT_ASKS,
    BROKER_SILENT_S,
    BROKER_START_S,
    JOIN_S,
    JOIN_S_MAX,
    REVIVE_S,
    Watch,
)
from storagebus.workers.health import (
    LOST_S_MAX,
    SILENT_S_MAX,
    STOPPED_S_MAX,
    STUCK_S_MAX,
)

TURN_S = 2.0
REPLACED_S_MAX = 20.0
"""What users are promised."""
BROKER = Process("storagebus-broker:storagebus-broker", "", 10, True)


def worker(number: int, service: str = "a") -> Process:
    return Process(f"storagebus-worker-{service}:{number}", service, 100 + number, True)


def report(*workers: Worker, service: str = "a", partial: bool = False) -> Report:
    return Report({service: workers}, frozenset({service} if partial else ()))


@dataclass
class World:
    """Processes, what the broker says, and turns of the watch."""

    processes: list[Process]
    says: Report | None
    watch: Watch = field(default_factory=Watch)
    now: float = 1_000.0
    done: list[tuple[float, Action]] = field(default_factory=list)

    def run(self, seconds: float) -> list[str]:
        """Turn after turn; names of what was replaced or revived."""
        first = len(self.done)
        ends = self.now + seconds
        while self.now < ends:
            actions = self.watch.look(self.processes, self.says, self.now)
            self.done += [(self.now, action) for action in actions]
            self.now += TURN_S
        return [action.process.name for _, action in self.done[first:]]

    def change(self, name: str, **changes: object) -> None:
        self.processes = [
            replace(each, **changes) if each.name == name else each  # type: ignore[arg-type]
            for each in self.processes
        ]


def healthy(count: int = 2) -> World:
    members = [worker(number) for number in range(count)]
    return World(
        [BROKER, *members], report(*[Worker(member.pid) for member in members])
    )


def test_the_healthy_are_left_alone() -> None:
    assert healthy().run(600) == []


def test_a_stopped_worker_is_replaced_in_time() -> None:
    world = healthy()
    world.run(10)
    world.change("storagebus-worker-a:1", is_stopped=True)
    began = world.now
    # The broker loses it later than it is replaced; both views are possible.
    assert world.run(STOPPED_S_MAX + 2 * TURN_S) == ["storagebus-worker-a:1"]
    when, action = world.done[0]
    assert when - began < REPLACED_S_MAX / 2
    assert isinstance(action, Replace)
    assert action.why == "was stopped by a signal 4 s ago"
    assert action.process.pid == 101


def test_a_short_stop_is_forgiven() -> None:
    world = healthy()
    for _ in range(20):
        world.change("storagebus-worker-a:1", is_stopped=True)
        assert world.run(STOPPED_S_MAX) == []
        world.change("storagebus-worker-a:1", is_stopped=False)
        assert world.run(TURN_S) == []


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Worker(101, silent_s=SILENT_S_MAX + 0.1), "answered no ping for 10 s"),
        (
            Worker(101, stuck_s=STUCK_S_MAX + 0.1),
            "held on to a call 10 s after it was given up",
        ),
    ],
)
def test_a_worker_of_which_the_broker_complains(seen: Worker, why: str) -> None:
    world = healthy()
    world.says = report(Worker(100), seen)
    world.run(TURN_S)
    ((_, action),) = world.done
    assert isinstance(action, Replace)
    assert (action.process.pid, action.why) == (101, why)


def test_the_limits_are_limits() -> None:
    world = healthy()
    world.says = report(
        Worker(100, silent_s=SILENT_S_MAX - 0.1), Worker(101, stuck_s=STUCK_S_MAX - 0.1)
    )
    assert world.run(60) == []


def test_who_drains_ends_by_itself() -> None:
    world = healthy()
    world.says = report(Worker(100), Worker(101, True, silent_s=99, stuck_s=99))
    assert world.run(60) == []


def test_a_worker_that_left_the_broker() -> None:
    world = healthy()
    world.run(4)
    began = world.now
    world.says = report(Worker(100))
    assert world.run(LOST_S_MAX + 2 * TURN_S) == ["storagebus-worker-a:1"]
    assert world.done[0][0] - began < REPLACED_S_MAX


def test_a_worker_that_never_comes_gets_more_time_each_time() -> None:
    world = healthy()
    world.says = report(Worker(100))
    pid = 101
    for allowed in (15.0, 30.0, 60.0, 120.0, 240.0, 300.0, 300.0):
        began = world.now
        while not world.run(TURN_S):
            assert world.now - began <= allowed + 2 * TURN_S
        assert world.now - began >= allowed
        pid += 1
        world.change("storagebus-worker-a:1", pid=pid)
    # One that came has all the time from the beginning.
    world.says = report(Worker(100), Worker(pid))
    world.run(TURN_S)
    world.says = report(Worker(100))
    world.change("storagebus-worker-a:1", pid=pid + 1)
    assert world.run(JOIN_S) == []
    assert world.run(2 * TURN_S) == ["storagebus-worker-a:1"]


def test_a_broker_that_does_not_answer_judges_nobody() -> None:
    world = healthy()
    world.run(10)
    world.says = None
    world.processes.remove(BROKER)
    assert world.run(600) == []
    # It is back, and the workers take a while to find it.
    world.says = report()
    assert world.run(LOST_S_MAX) == []
    world.says = report(Worker(100), Worker(101))
    assert world.run(60) == []


@pytest.mark.parametrize(
    "says", [Report({}), report(partial=True), report(Worker(101), partial=True)]
)
def test_an_answer_that_leaves_workers_out_accuses_nobody(says: Report) -> None:
    world = healthy()
    world.run(4)
    world.says = says
    assert world.run(600) == []


def test_one_at_a_time() -> None:
    world = healthy(3)
    world.run(4)
    world.says = report(Worker(100, stuck_s=99), Worker(101, stuck_s=99), Worker(102))
    assert world.run(TURN_S) == ["storagebus-worker-a:0"]
    # Its successor has not come yet.
    world.change("storagebus-worker-a:0", pid=200)
    world.says = report(Worker(101, stuck_s=99), Worker(102))
    assert world.run(3 * TURN_S) == []
    world.says = report(Worker(200), Worker(101, stuck_s=99), Worker(102))
    assert world.run(TURN_S) == ["storagebus-worker-a:1"]


def test_a_successor_that_does_not_come_is_not_waited_for_without_end() -> None:
    world = healthy(3)
    world.run(4)
    world.says = report(Worker(100, stuck_s=99), Worker(101, stuck_s=99), Worker(102))
    world.run(TURN_S)
    world.change("storagebus-worker-a:0", pid=0, is_up=False)
    assert world.run(JOIN_S - TURN_S) == []
    assert world.run(2 * TURN_S) == ["storagebus-worker-a:1"]


def test_a_process_that_lingers_is_killed_again_but_not_at_every_turn() -> None:
    world = healthy()
    world.change("storagebus-worker-a:1", is_stopped=True)
    assert world.run(60) == ["storagebus-worker-a:1"] * 4
    times = [when for when, _ in world.done]
    assert all(b - a >= JOIN_S for a, b in pairwise(times))


def test_workers_that_hold_a_call_each_still_go_one_at_a_time() -> None:
    world = healthy()
    world.says = report(Worker(100, stuck_s=99), Worker(101, stuck_s=99))
    assert world.run(TURN_S) == ["storagebus-worker-a:0"]
    assert world.run(TURN_S) == []


def test_all_together_when_none_can_serve() -> None:
    world = healthy(3)
    world.run(4)
    for process in world.processes[1:]:
        world.change(process.name, is_stopped=True)
    names = [f"storagebus-worker-a:{number}" for number in range(3)]
    assert world.run(STOPPED_S_MAX + TURN_S) == names


def test_services_are_judged_apart() -> None:
    members = [worker(number, service) for service in "ab" for number in range(2)]
    members[2:] = [replace(each, pid=each.pid + 100) for each in members[2:]]
    world = World(
        [BROKER, *members],
        Report(
            {
                "a": [Worker(100, stuck_s=99), Worker(101)],
                "b": [Worker(200), Worker(201, stuck_s=99)],
            }
        ),
    )
    assert world.run(TURN_S) == ["storagebus-worker-a:0", "storagebus-worker-b:1"]


def test_a_broker_that_has_stopped_answering() -> None:
    world = healthy()
    world.run(10)
    began = world.now
    world.says = None
    assert world.run(BROKER_SILENT_S) == []
    assert world.run(2 * TURN_S) == [BROKER.name]
    assert world.done[0][0] - began >= BROKER_SILENT_S
    # Its successor has more time, since it has not answered yet.
    world.change(BROKER.name, pid=11)
    assert world.run(BROKER_START_S) == []
    assert world.run(2 * TURN_S) == [BROKER.name]


def test_a_broker_that_is_slow_now_and_then_is_left_alone() -> None:
    world = healthy()
    says = world.says
    for _ in range(50):
        world.says = None
        assert world.run(BROKER_SILENT_S - TURN_S) == []
        world.says = says
        assert world.run(TURN_S) == []


def test_few_questions_are_not_enough() -> None:
    """This process was stopped itself, or the machine slept."""
    world = healthy()
    world.run(4)
    world.says = None
    for _ in range(BROKER_SILENT_ASKS - 1):
        assert world.watch.look(world.processes, None, world.now) == []
        world.now += BROKER_SILENT_S
    assert world.run(TURN_S) == [BROKER.name]


def test_a_stopped_broker_is_replaced() -> None:
    world = healthy()
    world.run(4)
    world.says = None
    world.change(BROKER.name, is_stopped=True)
    assert world.run(STOPPED_S_MAX + TURN_S) == [BROKER.name]


def test_what_was_given_up_is_tried_again() -> None:
    world = healthy()
    name = "storagebus-worker-a:1"
    world.change(name, pid=0, is_up=False, is_given_up=True)
    world.says = report(Worker(100))
    assert world.run(REVIVE_S) == []
    assert world.run(2 * REVIVE_S) == [name, name]
    assert all(isinstance(action, Revive) for _, action in world.done)


def test_what_an_operator_has_stopped_stays_so() -> None:
    world = healthy()
    world.change("storagebus-worker-a:1", pid=0, is_up=False)
    world.says = report(Worker(100))
    assert world.run(600) == []


PROCESSES = st.builds(
    Process,
    st.sampled_from(["x:1", "x:2", "x:3"]),
    st.sampled_from(["a", ""]),
    st.integers(1, 4),
    is_up=st.booleans(),
    is_given_up=st.booleans(),
    is_stopped=st.booleans(),
)
WORKERS = st.builds(
    Worker, st.integers(1, 4), st.booleans(), st.floats(0, 30), st.floats(0, 30)
)


@given(
    st.lists(
        st.tuples(
            st.lists(PROCESSES, max_size=3, unique_by=lambda each: each.name),
            st.none() | st.lists(WORKERS, max_size=4),
            st.floats(0, 40),
        ),
        max_size=30,
    )
)
def test_whatever_happens(
    turns: list[tuple[list[Process], list[Worker] | None, float]],
) -> None:
    """Only what is there is acted on, once a turn; several only when nobody is left."""
    watch = Watch()
    before: set[tuple[str, int]] = set()
    now = 0.0
    for processes, workers, passed in turns:
        now += passed
        said = None if workers is None else report(*workers)
        actions = watch.look(processes, said, now)
        replaced = [act.process for act in actions if isinstance(act, Replace)]
        assert all(process in processes and process.is_up for process in replaced)
        revived = [act.process for act in actions if isinstance(act, Revive)]
        assert all(process.is_given_up for process in revived)
        assert len(set(replaced)) == len(replaced)
        before |= {(each.name, each.pid) for each in replaced}
        if sum(each.service == "a" for each in replaced) > 1:
            pool = {(e.name, e.pid) for e in processes if e.service == "a" and e.is_up}
            assert pool <= before


def test_memory_is_that_of_the_processes() -> None:
    watch = Watch()
    for turn in range(100):
        processes = [replace(worker(0), name=f"x:{turn}", pid=turn + 1)]
        watch.look(processes, report(), float(turn))
    held: list[Mapping[str, object]] = [
        value for value in vars_of(watch) if isinstance(value, dict)
    ]
    assert held
    assert all(len(memory) <= 1 for memory in held)


def vars_of(watch: Watch) -> list[object]:
    return [getattr(watch, name) for name in watch.__slots__]


def test_the_time_to_come_is_bounded() -> None:
    assert JOIN_S < REPLACED_S_MAX < JOIN_S_MAX
    assert SILENT_S_MAX + 2 * TURN_S < REPLACED_S_MAX
    assert STUCK_S_MAX + 2 * TURN_S < REPLACED_S_MAX

"""The pool against a world of chance: what must hold after every step."""

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storagebus.workers.children import (
    ChildEnded,
    Ending,
    PoolStopped,
    ProcessSpec,
    Rolled,
)
from storagebus.workers.members import Action, Kill, Spawn, State, Terminate
from storagebus.workers.pool import Pool

GRACE_S = 5.0
START_S = 3.0
ENDINGS = [Ending(code=0), Ending(code=1), Ending(signal=9), Ending(signal=11)]


class World(RuleBasedStateMachine):
    """Children that live, get ready, die and are killed, as chance has it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.surge = True
        self.pool = Pool(self.spec(), count(1))
        self.alive: set[int] = set()
        self.seen: set[int] = set()
        self.asked: dict[int, float] = {}
        self.killed: set[int] = set()
        self.wanted = 2
        self.stopping = False
        self.rolls = 0
        self.stops = 0
        self.obey(self.pool.start(self.now))

    def spec(self) -> ProcessSpec:
        return ProcessSpec(
            "acme",
            ("run",),
            instances=2,
            grace_s=GRACE_S,
            start_timeout_s=START_S,
            surge=self.surge,
        )

    def obey(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Spawn(_, child):
                    assert child not in self.seen, "a number was given twice"
                    assert not self.stopping, "started while stopping"
                    self.seen.add(child)
                    self.alive.add(child)
                case Terminate(child):
                    assert child in self.alive
                    assert child not in self.asked, "asked twice"
                    self.asked[child] = self.now
                case Kill(child):
                    assert child in self.alive
                    self.killed.add(child)
                case ChildEnded(child=child):
                    assert child not in self.alive
                case Rolled():
                    self.rolls -= 1
                case PoolStopped():
                    assert not self.alive
                    self.stops += 1

    def end(self, child: int, ending: Ending, jitter: float = 0.0) -> None:
        self.alive.discard(child)
        self.asked.pop(child, None)
        self.killed.discard(child)
        self.obey(self.pool.died(child, ending, self.now, jitter))

    @rule(data=st.data(), ending=st.sampled_from(ENDINGS), jitter=st.floats(0, 1))
    @precondition(lambda self: self.alive)
    def a_child_dies(self, data: st.DataObject, ending: Ending, jitter: float) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.alive))), ending, jitter)

    @rule(data=st.data())
    @precondition(lambda self: self.alive)
    def a_child_is_ready(self, data: st.DataObject) -> None:
        child = data.draw(st.sampled_from(sorted(self.alive)))
        self.obey(self.pool.ready(child, self.now))

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, START_S, GRACE_S, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.obey(self.pool.tick(self.now))

    @rule(instances=st.integers(0, 4))
    def resize(self, instances: int) -> None:
        self.obey(self.pool.resize(instances, self.now))
        if not self.stopping:
            self.wanted = instances

    @rule()
    def roll(self) -> None:
        if not self.stopping and not self.rolls:
            self.rolls = 1
        self.obey(self.pool.roll(self.now))

    @rule()
    def revive(self) -> None:
        self.obey(self.pool.revive(self.now))

    @rule(data=st.data(), grace_s=st.none() | st.floats(0, GRACE_S))
    @precondition(lambda self: self.alive)
    def replace(self, data: st.DataObject, grace_s: float | None) -> None:
        child = data.draw(st.sampled_from(sorted(self.alive)))
        self.obey(self.pool.replace(child, "was slow", self.now, grace_s))

    @rule()
    @precondition(lambda self: len(self.seen) > 6)
    def stop(self) -> None:
        actions = self.pool.stop(self.now)
        self.stopping = True
        self.obey(actions)

    @rule()
    def fair_weather(self) -> None:
        """From any state, children that start well and end when asked bring rest."""
        for _ in range(100):
            for child in sorted(self.alive):
                if child in self.asked or child in self.killed:
                    self.end(child, Ending(code=0))
                else:
                    self.obey(self.pool.ready(child, self.now))
            due = self.pool.next_deadline()
            if due is None:
                break
            self.now = max(self.now, due)
            self.obey(self.pool.tick(self.now))
        assert self.pool.next_deadline() is None
        assert not self.rolls
        if self.stopping:
            assert self.pool.stopped
        else:
            self.obey(self.pool.revive(self.now))
            for child in sorted(self.alive):
                self.obey(self.pool.ready(child, self.now))
            assert self.pool.is_complete
            assert len(self.alive) == self.wanted

    @invariant()
    def the_pool_knows_who_is_alive(self) -> None:
        assert set(self.pool.members) == self.alive
        assert self.pool.instances == (0 if self.stopping else self.wanted)

    @invariant()
    def there_is_at_most_one_more_than_wanted(self) -> None:
        staying = [
            member
            for member in self.pool.members.values()
            if member.state in (State.STARTING, State.READY)
        ]
        most = 0 if self.stopping else self.wanted + int(self.surge)
        assert len(staying) <= most

    @invariant()
    def nobody_overstays(self) -> None:
        due = self.pool.next_deadline()
        for child, moment in self.asked.items():
            if child not in self.killed:
                assert due is not None
                assert due <= moment + GRACE_S

    @invariant()
    def it_stops_once(self) -> None:
        assert self.stops == int(self.stopping and not self.alive)


class WorldWithoutSurge(World):
    """The same, where two processes may not serve the same objects."""

    def spec(self) -> ProcessSpec:
        self.surge = False
        return super().spec()


TestWorld = World.TestCase
TestWorldWithoutSurge = WorldWithoutSurge.TestCase
TestWorld.settings = TestWorldWithoutSurge.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None
)

"""A pool of child processes, decided: who is to be started, asked to end, or killed.

Pure. The manager tells the pool what has happened and when, and does what it answers.
A pool has a place for each process that should run, and each place its own history of
deaths, so that one place that backs off does not hold up the others.

    place:  empty --Spawn--> starting --ready--> ready --death--> empty
    child:  STARTING --ready--> READY --asked to end--> LEAVING --grace over--> KILLED
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from .children import (
    ChildEnded,
    ChildLeaving,
    ChildReady,
    Ending,
    GaveUp,
    PoolStopped,
    ProcessSpec,
    Readiness,
    Rolled,
    check_instances,
)
from .exits import Exit
from .members import Action, Kill, Member, Spawn, State, Terminate
from .restart import Death, GiveUp, History


@dataclass(slots=True)
class _Place:
    child: int | None = None
    history: History = field(default_factory=History)
    restart_at: float | None = None
    gave_up: str | None = None


@dataclass(slots=True)
class _Roll:
    """A rolling restart: places to come, and what the current one waits for."""

    waiting: deque[int]
    place: int = -1
    fresh: int | None = None  # to become ready
    old: int | None = None  # to end


class Pool:
    """The machine. Every method returns what is to be done, in order.

    Args:
        spec: what runs.
        numbers: gives each child its number; pools of a manager share it.

    Attributes:
        spec: see above.
        members: the children that have not ended, by number.
        stopped: whether the pool was asked to stop and has no child left.
    """

    def __init__(self, spec: ProcessSpec, numbers: Iterator[int]) -> None:
        self.spec = spec
        self.members: dict[int, Member] = {}
        self.stopped = False
        self._numbers = numbers
        self._places: dict[int, _Place] = {}
        self._roll: _Roll | None = None
        self._stopping = False
        self._grace_s = spec.grace_s
        self._out: list[Action] = []

    @property
    def instances(self) -> int:
        """How many processes should run."""
        return len(self._places)

    @property
    def ready_count(self) -> int:
        """How many children are ready."""
        return sum(member.state is State.READY for member in self.members.values())

    @property
    def is_complete(self) -> bool:
        """Whether every place has a child that is ready."""
        return all(
            place.child is not None and self.members[place.child].state is State.READY
            for place in self._places.values()
        )

    @property
    def gave_up(self) -> str | None:
        """The reason, when every place has been given up."""
        reasons = [place.gave_up for place in self._places.values()]
        return reasons[-1] if reasons and all(reasons) else None

    def start(self, now: float) -> list[Action]:
        """Begin to run what the specification asks for."""
        return self.resize(self.spec.instances, now)

    def ready(self, child: int, now: float) -> list[Action]:
        """A child is ready; without effect for one that is not starting."""
        member = self.members.get(child)
        if member is not None and member.state is State.STARTING:
            self._made_ready(child, member, now)
        return self._flush()

    def died(
        self, child: int, ending: Ending, now: float, jitter: float
    ) -> list[Action]:
        """A child has ended, or could not be started.

        Args:
            child: its number.
            ending: how it ended.
            now: seconds on the manager's clock.
            jitter: a number from 0 to 1, see `RestartPolicy.after`.
        """
        member = self.members.pop(child, None)
        if member is None:
            return []
        what = member.fault or ending.describe()
        self._out.append(
            ChildEnded(
                self.spec.name,
                child,
                ending,
                expected=member.wanted,
                was_ready=member.ready_at is not None,
                what=what,
            )
        )
        place = self._places.get(member.place)
        rolled = self._died_in_roll(child, member, what, now)
        if place is not None and place.child == child and not rolled:
            place.child = None
            self._mourn(place, member, ending, what, now, jitter)
        if self._stopping and not self.members and not self.stopped:
            self.stopped = True
            self._out.append(PoolStopped(self.spec.name))
        return self._flush()

    def tick(self, now: float) -> list[Action]:
        """Time has passed: restart, and end what has taken too long."""
        for place_number, place in list(self._places.items()):
            if place.restart_at is not None and now >= place.restart_at:
                self._occupy(place_number, place, now)
        for child, member in list(self.members.items()):
            if member.deadline is not None and now >= member.deadline:
                self._overdue(child, member, now)
        return self._flush()

    def next_deadline(self) -> float | None:
        """When `tick` has something to do; None for never."""
        times = [place.restart_at for place in self._places.values()]
        times += [member.deadline for member in self.members.values()]
        return min((time for time in times if time is not None), default=None)

    def resize(self, instances: int, now: float) -> list[Action]:
        """Grow by starting processes, shrink by asking the newest places to end."""
        check_instances(instances)
        if self._stopping:
            return []
        for number in range(len(self._places), instances):
            self._places[number] = place = _Place()
            self._occupy(number, place, now)
        for number in reversed(range(instances, len(self._places))):
            self._close(number, now)
        return self._flush()

    def roll(self, now: float) -> list[Action]:
        """Replace every child by a new one, a place at a time.

        The next place's turn comes when the new child is ready and the old one has
        ended. A new child that dies first breaks the restart off; the old ones serve
        on. Asked for again meanwhile, all places are gone through once more.
        """
        if self._stopping:
            return []
        if self._roll is not None:
            self._roll.waiting = deque(self._places)
            return []
        self._roll = _Roll(deque(self._places))
        self._roll_on(now)
        return self._flush()

    def replace(
        self, child: int, fault: str, now: float, grace_s: float | None = None
    ) -> list[Action]:
        """End a child that does not do its work, and start another as after a crash.

        Args:
            child: its number.
            fault: what it did, as in "answered no ping for 20 s".
            now: seconds on the manager's clock.
            grace_s: instead of the specification's.
        """
        member = self.members.get(child)
        if member is not None and member.state in (State.STARTING, State.READY):
            member.fault = f"was replaced because it {fault}"
            self._terminate(child, member, now)
            if grace_s is not None:
                member.deadline = now + grace_s
        return self._flush()

    def revive(self, now: float) -> list[Action]:
        """Try again at the places that were given up."""
        for number, place in self._places.items():
            if place.gave_up is not None:
                self._places[number] = fresh = _Place()
                self._occupy(number, fresh, now)
        return self._flush()

    def stop(self, now: float, grace_s: float | None = None) -> list[Action]:
        """Ask every child to end, and start none any more.

        Args:
            now: seconds on the manager's clock.
            grace_s: instead of the specification's.
        """
        if grace_s is not None:
            self._grace_s = grace_s
        if not self._stopping:
            self._stopping = True
            self._end_roll("the pool was stopped")
            for number in list(self._places):
                self._close(number, now)
        else:
            self._hurry(now)
        if not self.members and not self.stopped:
            self.stopped = True
            self._out.append(PoolStopped(self.spec.name))
        return self._flush()

    def _flush(self) -> list[Action]:
        out, self._out = self._out, []
        return out

    def _spawn(self, number: int, now: float) -> int:
        child = next(self._numbers)
        alive = self.spec.ready is Readiness.ALIVE
        wait_s = self.spec.alive_s if alive else self.spec.start_timeout_s
        self.members[child] = Member(number, State.STARTING, now + wait_s)
        self._out.append(Spawn(self.spec.name, child))
        return child

    def _occupy(self, number: int, place: _Place, now: float) -> None:
        place.restart_at = None
        place.child = self._spawn(number, now)

    def _close(self, number: int, now: float) -> None:
        del self._places[number]
        for child, member in self.members.items():
            if member.place == number:
                member.wanted = True
                self._terminate(child, member, now)
        roll = self._roll
        if roll is not None and roll.place == number:
            roll.fresh = roll.old = None
            self._roll_on(now)

    def _made_ready(self, child: int, member: Member, now: float) -> None:
        member.state = State.READY
        member.ready_at = now
        member.deadline = None
        self._out.append(ChildReady(self.spec.name, child))
        roll = self._roll
        if roll is None or roll.fresh != child:
            return
        roll.fresh = None
        place = self._places[member.place]
        if place.child != child:
            roll.old, place.child = place.child, child
        if roll.old is None:
            self._roll_on(now)
        else:
            self._retire(roll.old, now)

    def _terminate(self, child: int, member: Member, now: float) -> None:
        if member.state in (State.LEAVING, State.KILLED):
            return
        member.state = State.LEAVING
        member.deadline = now + self._grace_s
        self._out += [Terminate(child), ChildLeaving(self.spec.name, child)]

    def _retire(self, child: int, now: float) -> None:
        member = self.members[child]
        member.wanted = True
        self._terminate(child, member, now)

    def _hurry(self, now: float) -> None:
        """Apply a grace that was changed to those that leave already."""
        for member in self.members.values():
            if member.state is State.LEAVING and member.deadline is not None:
                member.deadline = min(member.deadline, now + self._grace_s)

    def _overdue(self, child: int, member: Member, now: float) -> None:
        if member.state is State.STARTING and self.spec.ready is Readiness.ALIVE:
            self._made_ready(child, member, now)
            return
        if member.state is State.STARTING:
            limit_s = self.spec.start_timeout_s
            member.fault = f"was not ready within {limit_s:g} s and was killed"
        member.state = State.KILLED
        member.deadline = None
        self._out.append(Kill(child))

    def _mourn(
        self,
        place: _Place,
        member: Member,
        ending: Ending,
        what: str,
        now: float,
        jitter: float,
    ) -> None:
        """Restart or give up, after the child of a place died unasked."""
        ready_for_s = None if member.ready_at is None else now - member.ready_at
        death = Death(
            ready_for_s,
            by_signal=ending.by_signal and member.fault is None,
            hopeless=ending.code in self.spec.hopeless_codes,
            for_store=ending.code == Exit.STORE,
        )
        place.history, decision = self.spec.restart.after(place.history, death, jitter)
        if not isinstance(decision, GiveUp):
            place.restart_at = now + decision.delay_s
            return
        place.gave_up = (
            f"{self.spec.argv[0]} {what}: {decision.reason}{ending.last_lines()}"
        )
        self._out.append(
            GaveUp(self.spec.name, place.gave_up, self.gave_up is not None)
        )

    def _died_in_roll(self, child: int, member: Member, what: str, now: float) -> bool:
        """The part of a death that concerns a rolling restart.

        Returns:
            Whether the place has its next child already.
        """
        roll = self._roll
        if roll is None or roll.place != member.place:
            return False
        place = self._places[roll.place]
        if roll.fresh == child:
            self._end_roll(f"the new process {what}")
        elif roll.fresh is not None and place.child == child:
            # The old one died while its successor was starting.
            place.child = roll.fresh
            return True
        elif roll.old == child:
            roll.old = None
            if place.child == child:  # no surge: only now is there room for the new
                self._occupy(roll.place, place, now)
                roll.fresh = place.child
                return True
            self._roll_on(now)
        return False

    def _roll_on(self, now: float) -> None:
        """Turn to the next place, or finish."""
        roll = self._roll
        if roll is None:
            return
        while roll.waiting:
            number = roll.waiting.popleft()
            place = self._places.get(number)
            if place is None:
                continue
            roll.place = number
            if place.child is None:
                place.gave_up = None
                self._occupy(number, place, now)
                roll.fresh = place.child
            elif self.spec.surge:
                roll.fresh = self._spawn(number, now)
            else:
                roll.old = place.child
                self._retire(place.child, now)
            return
        self._roll = None
        self._out.append(Rolled(self.spec.name))

    def _end_roll(self, error: str) -> None:
        if self._roll is not None:
            self._roll = None
            self._out.append(Rolled(self.spec.name, error))

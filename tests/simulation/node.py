"""What all simulated processes have: a clock of their own, and times when they stand
still."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from storagebus.broker.wire import Message

from .network import HEARTBEAT_S

if TYPE_CHECKING:
    from .network import Wire
    from .world import World

LATE_S = 0.0005
"""How late a loop wakes up: a poll counts in milliseconds."""
OFFSET_S_MAX = 1_000_000.0
DRIFT_MAX = 0.001


class Node(ABC):
    """A process.

    Args:
        world: where it runs.
        name: for the transcript.

    Attributes:
        is_dead: it was killed, or has ended.
        is_stalled: it stands still.
        stood_s: seconds that it has stood still, or its clock has jumped, in all.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.is_dead = False
        self.is_stalled = False
        self.stood_s = 0.0
        chance = world.chance
        self._offset_s = chance.uniform(1_000.0, OFFSET_S_MAX)
        self._rate = 1.0 + chance.uniform(-DRIFT_MAX, DRIFT_MAX)
        self._since = 0.0
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._alarm = inf

    @abstractmethod
    def settle(self) -> None:
        """After something has happened: do what the core asks for."""

    @abstractmethod
    def next_deadline(self) -> float:
        """When `tick` is due, on the node's own clock."""

    @abstractmethod
    def tick(self) -> None:
        """Time has passed."""

    def now(self) -> float:
        """The time on the node's own clock, in seconds."""
        return self._offset_s + self.world.loop.now * self._rate

    @property
    def ran_s(self) -> float:
        """The time on it without what it has stood still."""
        return self.now() - self.stood_s

    def do(self, act: Callable[..., None], *args: Any) -> None:
        """Something happens to this process: now, or when it goes on."""
        if self.is_dead:
            return
        if self.is_stalled:
            self._waiting.append((act, args))
            return
        act(*args)
        self._settled()

    def jump(self, seconds: float) -> None:
        """The clock jumps ahead."""
        self._offset_s += seconds
        self.stood_s += seconds
        self._arm()

    def stall(self, seconds: float) -> None:
        """Stand still for a while."""
        if self.is_stalled or self.is_dead:
            return
        self.is_stalled = True
        self._since = self.world.loop.now
        loop = self.world.loop
        if seconds > HEARTBEAT_S:
            silent_s = HEARTBEAT_S + self.world.chance.random()
            loop.after(silent_s, self._fallen_silent, self._since)
        loop.after(seconds, self._go_on, self._since)

    def die(self) -> None:
        """Be gone."""
        self.is_dead = True
        self._waiting.clear()

    def wake(self) -> None:
        """Go on at once, if it stands still."""
        if self.is_stalled:
            self._go_on(self._since)

    def _fallen_silent(self, since: float) -> None:
        if self.is_stalled and self._since == since and not self.is_dead:
            self.world.network.fall_silent(self)  # type: ignore[arg-type]

    def _go_on(self, since: float) -> None:
        if not self.is_stalled or self._since != since or self.is_dead:
            return
        self.is_stalled = False
        self.stood_s += self.world.loop.now - since
        self.world.transcript.note(self.name, "goes on")
        if self.world.chance.random() < 0.5:
            self._ring()  # a loop may look at its clock first, or at its sockets
        while self._waiting and not self.is_dead:
            act, args = self._waiting.popleft()
            act(*args)
            self.settle()
        self._settled()

    def _settled(self) -> None:
        if not self.is_dead:
            self.settle()
            self._arm()

    def _arm(self) -> None:
        due = self.next_deadline()
        if due == inf:
            return
        moment = (due - self._offset_s) / self._rate + LATE_S
        if moment < self._alarm:
            self._alarm = max(moment, self.world.loop.now)
            self.world.loop.at(moment, self._ring_at, self._alarm)

    def _ring_at(self, moment: float) -> None:
        if moment != self._alarm:
            return
        self._alarm = inf
        self.do(self._ring)

    def _ring(self) -> None:
        if self.next_deadline() <= self.now():
            self.tick()


class PeerNode(Node):
    """A worker or client.

    Attributes:
        has_left: it has closed its sockets.
    """

    has_left = False

    @abstractmethod
    def connected(self, wire: Wire) -> None:
        """A connection stands."""

    @abstractmethod
    def lost(self, wire: Wire) -> None:
        """The news that it does not any more."""

    @abstractmethod
    def arrived(self, wire: Wire, message: Message) -> None:
        """A message has come."""

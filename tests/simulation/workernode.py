"""A simulated worker process: the real core, and driver work that takes its time."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from storagebus.broker.messages import Hello, Operation
from storagebus.broker.wire import Message
from storagebus.drivers.checked import Checked
from storagebus.workers.actions import Send, Start, Stop
from storagebus.workers.call_jobs import CallDriver
from storagebus.workers.core import WorkerCore
from storagebus.workers.jobs import Outcome
from storagebus.workers.schedule import Task
from storagebus.workers.upload_jobs import CommitWriter

from . import virtualtime
from .ledger import Kind
from .network import IN, Wire
from .node import PeerNode
from .storedriver import StoreDriver, throttled, unavailable
from .violation import require
from .watch import OneEnd

if TYPE_CHECKING:
    from .world import World

GRACE_S = 5.0
POISON = "/poison/"
"""In a path: whoever does what is asked there is ended by it."""
LONG = "-long"
"""At the end of a path: what is done there takes long."""
STEP_PART = 0.125
"""Between two steps of what takes long, as a part of the deadline."""


class WorkerNode(PeerNode):
    """A worker.

    Args:
        world: where it runs.
        index: which of the workers.
        incarnation: how often this one has been started.

    Attributes:
        core: the machine.
        cookie: by which it is known to whoever says how it has ended.
    """

    def __init__(self, world: World, index: int, incarnation: int) -> None:
        super().__init__(world, f"w{index}")
        self.index = index
        chance, options = world.chance, world.options
        service = index % options.services
        store = world.stores[service]
        self.cookie = f"w{index}-{incarnation}" if options.obituaries else ""
        self._driver = StoreDriver(store, chance.choice((1, 1_000, 5_000)))
        self._checked = Checked(self._driver)
        hello = Hello(
            role="worker",
            protocol=(1, 1),
            boot=f"{index}-{incarnation}".encode().ljust(16, b"."),
            name=self.name,
            service=world.services[service],
            cookie=self.cookie,
            driver=self._driver.name,
            api_version=self._driver.api_version,
            capabilities=self._driver.capabilities.to_fields(),
            instance="i",
            slots=options.slots,
            streams=options.worker_streams,
        )
        self.core = WorkerCore(hello, options.brokers)
        self._wires: dict[int, Wire] = {}
        self._stuck: dict[Task, None] = {}
        self._due: dict[Task, None] = {}
        self._ends = OneEnd()

    # -- events ---------------------------------------------------------------

    def connected(self, wire: Wire) -> None:
        self._wires[wire.index] = wire
        self.core.connected(wire.index, self.now())

    def lost(self, wire: Wire) -> None:
        if self._wires.get(wire.index) is wire:
            del self._wires[wire.index]
        self.core.disconnected(wire.index, self.now())

    def arrived(self, wire: Wire, message: Message) -> None:
        if self._wires.get(wire.index) is wire:
            self.core.received(wire.index, message, self.now())

    def drain(self) -> None:
        """Somebody sends SIGTERM."""
        self.core.drain(GRACE_S, self.now())

    def tick(self) -> None:
        self.core.tick(self.now())

    def next_deadline(self) -> float:
        due = self.core.next_deadline(self.now())
        return float("inf") if due is None else due

    def settle(self) -> None:
        outbox = self.core.outbox
        while outbox:
            action = outbox.popleft()
            if isinstance(action, Send):
                self._send(action)
            elif isinstance(action, Start):
                self._start(action.task)
            elif isinstance(action, Stop):
                self.world.transcript.note(self.name, f"stops: {action.why}")
                self.world.worker_ended(self)
                return
        self.check()

    def _send(self, send: Send) -> None:
        wire = self._wires.get(send.link)
        if wire is not None and wire.send(IN, send.message):
            self._ends.sent(send.link, send.message)
        else:
            self.core.undelivered(send.link, self.now())

    # -- driver work ----------------------------------------------------------

    def _start(self, task: Task) -> None:
        chance, options = self.world.chance, self.world.options
        work_s = chance.uniform(0.0, options.driver_s_max)
        if self.world.faulty and chance.random() < options.slow_chance:
            work_s += chance.uniform(0.0, options.slow_s_max)
        path = task.stream.request.path  # type: ignore[attr-defined]
        if POISON in path:
            self.world.loop.after(work_s, self.world.poisoned, self, path)
            return
        stuck = self.world.faulty and chance.random() < options.stuck_chance
        if stuck and chance.random() < 0.5:
            self._hang(task)
            return
        wish = _wish(task)
        if wish is not None:
            self.world.ledger.starts(wish[1])
            if wish[0] is not Kind.PUT and wish[1].endswith(LONG):
                work_s += self._take_steps(task, path)
        if task.stream.is_call:
            late_s = self.now() - task.asked - task.stream.budget_s
            require(late_s < 0.0, "a call was begun after its time")
        self.world.loop.after(work_s / 2, self._work, task, work_s / 2, stuck)

    def _take_steps(self, task: Task, path: str) -> float:
        """Driver work moves on for longer than a deadline; returns how long."""
        deadline_s = self.world.options.deadline_s
        task.expires = inf  # it has begun
        count = self.world.chance.randint(8, 14)
        for number in range(count):
            moment = number * deadline_s * STEP_PART
            self.world.loop.after(moment, self.do, self._take_step, task, path)
        return count * deadline_s * STEP_PART

    def _take_step(self, task: Task, path: str) -> None:
        if task not in self._stuck:
            task.stream.steps.done += 1
            self.world.steps[path] += 1

    def _work(self, task: Task, rest_s: float, stuck: bool) -> None:
        """The moment at which the store does it."""
        if not self.is_dead:
            self._due[task] = None
            self.do(self._run, task, rest_s, stuck)
        elif self.world.chance.random() < self.world.options.ghost_chance:
            # The process is gone, but what it asked for was under way already.
            self.world.transcript.note(self.name, f"is dead, but: {_words(task)}")
            self._perform(task)
        else:
            self._over(task)

    def die(self) -> None:
        super().die()
        for task in self._due:
            self._over(task)

    def _run(self, task: Task, rest_s: float, stuck: bool) -> None:
        self._due.pop(task)
        chance = self.world.chance
        if self.world.faulty and chance.random() < self.world.options.failure_chance:
            mishaps = self._driver.mishaps
            if chance.random() < 0.6:
                mishaps.before = chance.choice((throttled, unavailable))
            else:
                mishaps.after = unavailable
        outcome = self._perform(task)
        if stuck:
            self._hang(task, outcome)
        else:
            self.world.loop.after(rest_s, self.do, self._finish, task, outcome)

    def _perform(self, task: Task) -> Outcome:
        mishaps = self._driver.mishaps
        with virtualtime.of(self.now):
            try:
                return task.run(self._checked)
            finally:
                mishaps.before = mishaps.after = None
                self._over(task)

    def _over(self, task: Task) -> None:
        """The store has done it, or never will."""
        wish = _wish(task)
        if wish is not None:
            self.world.ledger.stops(wish[1])

    def _finish(self, task: Task, outcome: Outcome) -> None:
        said = "" if outcome.error is None else f": {outcome.error}"
        self.world.transcript.note(self.name, f"did {_words(task)}{said}")
        self.core.finished(task, outcome, self.now())

    def _hang(self, task: Task, outcome: Outcome | None = None) -> None:
        self.world.transcript.note(self.name, f"is stuck in {_words(task)}")
        self._stuck[task] = None
        outcome = outcome or Outcome(error=unavailable())
        self.world.when_healed(self._unstick, task, outcome)

    def _unstick(self, task: Task, outcome: Outcome) -> None:
        self._stuck.pop(task, None)
        self.do(self._finish, task, outcome)

    # -- checks ---------------------------------------------------------------

    def check(self) -> None:
        """What always holds."""
        core = self.core
        running = len(core.schedule.running)
        require(running <= core.schedule.slots, "more driver calls than slots")

    def check_rest(self) -> None:
        """Nothing goes on: nothing may be left."""
        core = self.core
        for link in core.links:
            require(not link.streams, f"{self.name} has streams left")
        require(not core._orphans, f"{self.name} has streams of nobody left")
        in_use = (core._calls, core._open)
        require(in_use == (0, 0), f"{self.name} counts calls and streams: {in_use}")
        require(not core.schedule.running, f"{self.name} has work running")
        require(len(core.schedule) == 0, f"{self.name} has work waiting")


_KINDS = {
    int(Operation.PUT): Kind.PUT,
    int(Operation.MOVE): Kind.MOVE,
    int(Operation.DELETE): Kind.DELETE,
}


def _wish(task: Task) -> tuple[Kind, str] | None:
    """What driver work writes: how, and where; None for nothing."""
    job = task.job
    if isinstance(job, CommitWriter):
        return Kind.COMMIT, job.path
    if not isinstance(job, CallDriver) or job.operation not in _KINDS:
        return None
    kind, request = _KINDS[job.operation], job.request
    if kind is Kind.MOVE:
        return kind, request.destination
    return kind, request.path


def _words(task: Task) -> str:
    wish = _wish(task)
    if wish is not None:
        return f"{wish[0].value} of {wish[1]}"
    stream = task.stream
    return f"{type(task.job).__name__} for stream {stream.id} of link {stream.link}"

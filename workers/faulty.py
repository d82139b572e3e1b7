"""A worker's loop that fails as its plan of faults says.

A subclass, so that a worker without a plan runs none of this. What fails is decided in
`faults`.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..broker.messages import Hello, Operation
from ..broker.wire import Message, Type
from ..drivers.contract import StorageDriver
from ..drivers.errors import Executed, StorageError
from .direct import Reply, link_of
from .faults import FaultPlan, Faults, Kind, Moment, Rule
from .jobs import Outcome
from .lanedoor import LaneDoor
from .loop import WorkerLoop
from .schedule import Task
from .upload_jobs import CommitWriter, SettleWriter

EXIT_CODE = 70
"""Of a worker that exits on purpose: a fault of the program, after sysexits(3)."""
REPLY_S = 0.05
"""Time that libzmq gets to send an answer, before what is to follow it."""
TEAR_S = 5.0
"""How long a thread waits for the loop to tear the connections."""
ANSWERING_MAX = 10_000
"""Streams whose last step is remembered until their answer is sent."""

log = logging.getLogger("storagebus.worker")


class FaultyLoop(WorkerLoop):
    """The loop of a worker that has a plan of faults.

    Args:
        driver, hello, endpoints: see `WorkerLoop`.
        plan: when and how to fail.
        door: see `WorkerLoop`.
    """

    def __init__(
        self,
        driver: StorageDriver,
        hello: Hello,
        endpoints: Sequence[str],
        plan: FaultPlan,
        door: LaneDoor | None = None,
    ) -> None:
        seed = secrets.randbits(32) if plan.seed is None else plan.seed
        self._faults = Faults(replace(plan, seed=seed), seed)
        # Several threads ask; what they are answered must not depend on how they mix.
        self._lock = threading.Lock()
        self._answering: dict[tuple[int, int], str] = {}
        super().__init__(driver, hello, endpoints, door)
        log.warning(
            "FAULTS ON PURPOSE: this worker fails by a plan of %d rules, seed %d",
            len(plan.rules),
            seed,
        )

    def run_task(self, task: Task, driver: StorageDriver) -> Outcome:
        """Run a job, and perhaps something else."""
        step = step_of(task)
        rule = self._strike(Moment.CALL, step)
        if rule is not None and self._befall(rule):
            return Outcome(error=_error(rule, Executed.NO), ran=False)
        running = self._strike(Moment.RUNNING, step)
        timer = None if running is None else self._act_later(running, running.seconds)
        outcome = super().run_task(task, driver)
        if timer is not None:
            timer.cancel()
        rule = self._strike(Moment.ANSWER, step)
        if rule is not None and self._befall(rule):
            _let_go(outcome)
            outcome = Outcome(error=_error(rule, Executed.MAYBE))
        self._remember(task, step)
        return outcome

    def deliver(self, link: int, message: Message) -> bool:
        """Send, and perhaps fail when an answer is on its way."""
        taken = super().deliver(link, message)
        self._replied(link, message)
        return taken

    def reply(self, reply: Reply) -> None:
        """The same for a call that came by a lane."""
        super().reply(reply)
        self._replied(link_of(reply.lane), reply.message)

    def _replied(self, link: int, message: Message) -> None:
        if message.type in (Type.RESULT, Type.ERROR):
            step = self._answering.pop((link, message.stream), None)
            rule = None if step is None else self._strike(Moment.REPLIED, step)
            if rule is not None:
                self._act_later(rule, REPLY_S)

    def _strike(self, when: Moment, step: str) -> Rule | None:
        with self._lock:
            rule = self._faults.strike(when, step)
        if rule is not None:
            log.warning(
                "fault on purpose: %s, %s %s", rule.kind.value, step, when.value
            )
        return rule

    def _befall(self, rule: Rule) -> bool:
        """Let a fault come over the calling thread; whether the call is to fail."""
        if rule.kind is Kind.HANG:
            while True:
                time.sleep(3_600)
        if rule.kind is Kind.DELAY:
            time.sleep(rule.seconds)
        elif rule.kind is not Kind.ERROR:
            self._act(rule)
        return rule.kind is Kind.ERROR

    def _act_later(self, rule: Rule, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._act, (rule,))
        timer.daemon = True
        timer.start()
        return timer

    def _act(self, rule: Rule) -> None:
        if rule.kind is Kind.DISCONNECT:
            self._tear()
        else:
            _ENDS[rule.kind]()

    def _tear(self) -> None:
        """Tear the connections; they are torn when this returns.

        A thread that was driving the loop waits too, until another has the helm.
        """
        torn = threading.Event()

        def tear(now: float) -> None:
            self.reconnect(now)
            torn.set()

        self.post(tear)
        torn.wait(TEAR_S)

    def _remember(self, task: Task, step: str) -> None:
        if len(self._answering) < ANSWERING_MAX:
            self._answering[task.stream.link, task.stream.id] = step


def step_of(task: Task) -> str:
    """What a task does, by a name of `faults.STEPS`."""
    job = task.job
    if isinstance(job, CommitWriter):
        return "commit"
    if isinstance(job, SettleWriter):
        return "close" if job.keep else "cancel"
    return Operation(task.stream.operation).name.lower()


def _error(rule: Rule, executed: Executed) -> StorageError:
    return rule.error(rule.detail, executed=executed)


def _let_go(outcome: Outcome) -> None:
    """Close what an outcome that nobody gets to see has opened."""
    opened = getattr(outcome.value, "source", None)
    opened = opened or getattr(outcome.value, "writer", None)
    if opened is not None:
        opened.close()


def _exit() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_CODE)


_ENDS: dict[Kind, Callable[[], None]] = {
    Kind.EXIT: _exit,
    Kind.SEGV: lambda: os.kill(os.getpid(), signal.SIGSEGV),
    Kind.ABORT: lambda: os.kill(os.getpid(), signal.SIGABRT),
    Kind.STOP: lambda: os.kill(os.getpid(), signal.SIGSTOP),
}

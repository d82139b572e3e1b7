"""The worker's loop: it polls the brokers, asks the machine, and does what it says.

The only file of the worker that knows ZeroMQ and the clock. One thread at a time
drives it (`helm`): it runs quick jobs of the driver itself and hands others to threads.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zmq

from ..broker.dealer import Dealer, Link
from ..broker.lanes import host_mark
from ..broker.messages import Hello
from ..broker.wakeup import Wakeup
from ..broker.wire import Message
from ..drivers.contract import StorageDriver
from ..drivers.errors import CancelledError, ProtocolError
from .actions import LetGo, Listen, Note, Offers, Send, Start, Stop, Withdraw
from .bells import Bells
from .core import WorkerCore
from .direct import DirectCall, Reply
from .effort import effort, spent_us
from .helm import Helm
from .jobs import Outcome
from .lanedoor import LaneDoor
from .lanes import LaneTerms
from .pace import Pace
from .schedule import Task
from .threads import Threads

BATCH_MESSAGES = 64
"""Messages taken from one broker before the others have their turn."""
BATCH_JOBS = 16
"""Outcomes taken, or jobs run by the loop itself, before messages have their turn and
what there is to send is sent."""
POLL_MS_MAX = 1_000
SIGNAL_S = 0.2
"""How late a signal may be heard."""
FAREWELL_MS = 50
"""Time that libzmq gets to send the last messages."""
NO_SLOT_S = 0.01
"""How long who has found all slots taken had better leave calls to the broker."""
NO_SLOT = "all of the worker's slots are taken"
NOT_QUICK = "calls of this kind are not quick here"
LAG_DECAY = 0.8
"""What is left of an old lag after each turn of the loop."""

log = logging.getLogger("storagebus.worker")


class WorkerLoop:
    """A worker and its sockets.

    Args:
        driver: the driver, behind its checks.
        hello: what the worker says of itself.
        endpoints: checked addresses of the brokers' doors for workers.
        door: the side socket for clients of this host, if there is one.
    """

    def __init__(
        self,
        driver: StorageDriver,
        hello: Hello,
        endpoints: Sequence[str],
        door: LaneDoor | None = None,
    ) -> None:
        terms = (
            None
            if door is None
            else LaneTerms(door.address, host_mark(), door.bytes_max)
        )
        self.core = WorkerCore(hello, len(endpoints), terms)
        self._door = door
        self._never_waits = driver.capabilities.nonblocking
        self._wakeup = Wakeup()
        self._threads = Threads(driver, self._wakeup, self.run_task)
        self._pace = Pace()
        self._helm = Helm(self._drive)
        self._quick: deque[Task] = deque()
        self._commands: deque[Callable[[float], None]] = deque()
        self._stop: Stop | None = None
        self._fault: BaseException | None = None
        self._over = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._poller.register(self._wakeup.fileno(), zmq.POLLIN)
        self._bells = Bells()
        self._poller.register(self._bells.fileno(), zmq.POLLIN)
        if door is not None:
            self._poller.register(door.fileno(), zmq.POLLIN)
            self._poller.register(door.calls.fileno(), zmq.POLLIN)
        self._dealers = [self._connect(endpoint) for endpoint in endpoints]

    def drain(self, grace_s: float) -> None:
        """Finish what is here, then stop. Safe from any thread and signal handler."""
        self.post(lambda now: self.core.drain(grace_s, now))

    def halt(self, why: str, code: int = 0) -> None:
        """Stop at once. Safe from any thread and signal handler."""
        self.post(lambda now: self.core.halt(why, code))

    def post(self, command: Callable[[float], None]) -> None:
        """Have the loop do something. Safe from any thread and signal handler."""
        self._commands.append(command)
        self._wakeup.set()

    def reconnect(self, now: float) -> None:
        """Break every connection without a word, and connect anew. A command."""
        for number, dealer in enumerate(self._dealers):
            for socket in dealer.pollables:
                self._poller.unregister(socket)
            dealer.close()
            self._dealers[number] = self._connect(dealer.endpoint)
            self.core.disconnected(number, now)
            self._flush(now)

    def run_task(self, task: Task, driver: StorageDriver) -> Outcome:
        """Do a task's job, in the calling thread."""
        return task.run(driver)

    def deliver(self, link: int, message: Message) -> bool:
        """Send a message by a link; False when it could not be taken."""
        return self._dealers[link].send(message)

    def reply(self, reply: Reply) -> None:
        """Answer a call that came by a lane; who does not take it loses the lane."""
        door = self._door
        if door is None:
            return
        if not door.calls.send(reply.lane, reply.message, reply.file):
            self._close_lane(reply.lane)

    def run(self) -> Stop:
        """Serve until told to stop; says why it ended.

        The calling thread only waits: in the main thread, signals find it free, at
        the latest after `SIGNAL_S`.

        Raises:
            BaseException: what the driver raised to end the process.
        """
        try:
            self._helm.start()
            # A signal wakes the thread that the kernel gives it to, which after a
            # standstill is seldom this one; but only here its handler runs.
            while not self._over.wait(SIGNAL_S):
                pass
            if self._fault is not None:
                raise self._fault
            time.sleep(FAREWELL_MS / 1000)
        finally:
            self.close()
        assert self._stop is not None
        return self._stop

    def close(self) -> None:
        """Close the sockets; nobody may be at the helm any more."""
        self._helm.stop()
        self._threads.stop()
        for dealer in self._dealers:
            dealer.close()
        self._dealers.clear()
        if self._door is not None:
            self._door.close()
        self._bells.close()
        self._context.destroy(linger=0)

    def _connect(self, endpoint: str) -> Dealer:
        dealer = Dealer(self._context, endpoint)
        for socket in dealer.pollables:
            self._poller.register(socket, zmq.POLLIN)
        return dealer

    def _drive(self, held: int | None) -> None:
        """Drive the loop until it ends, or the helm is lost.

        Args:
            held: the operation that holds up the thread that drove it before.
        """
        try:
            if held is not None:
                self._threads.adopt()
                self._pace.stalled(held, time.monotonic())
            while self._stop is None:
                late = self._turn()
                if late is not None:
                    self._threads.give(*late)
                    del late
                    self._threads.work()
                    return
        except BaseException as fault:
            self._fault = fault
        self._over.set()

    def _turn(self) -> tuple[Task, Outcome | BaseException] | None:
        """Sleep until something happens, and deal with a bounded part of it.

        Returns:
            None; or the end of a job that has taken so long that another thread has
            the helm now.
        """
        ready = dict(self._poller.poll(self._wait_ms()))
        woken = now = time.monotonic()
        if self._wakeup.fileno() in ready:
            self._wakeup.clear()
        self._obey(now)
        for number, dealer in enumerate(self._dealers):
            socket, monitor = dealer.pollables
            if monitor in ready:
                self._look_at_link(number, dealer, now)
            if socket in ready:
                for message in dealer.receive(BATCH_MESSAGES):
                    self.core.received(number, message, now)
        if self._door is not None:
            self._look_at_door(self._door, ready, now)
        if self._bells.fileno() in ready:
            for stream in self._bells.heard():
                self.core.rang(stream, now)
        if self._threads.done:
            now = time.monotonic()
            for task, outcome in self._threads.take(BATCH_JOBS):
                self._finished(task, outcome, now)
        if self.core.direct.leaving and self._door is not None:
            for lane in self.core.direct.idle(self._door.calls.numbers()):
                self._door.calls.drop(lane)
        self._flush(now)
        late = self._run_quick()
        if late is not None:
            return late
        now = time.monotonic()
        due = self.core.next_deadline(now)
        if due is not None and now >= due:
            self.core.tick(now)
        self._flush(now)
        self.core.lag_s = max(now - woken, self.core.lag_s * LAG_DECAY)
        return None

    def _obey(self, now: float) -> None:
        while self._commands:
            self._commands.popleft()(now)

    def _wait_ms(self) -> int:
        if self._quick or self._threads.done or self._commands:
            return 0
        now = time.monotonic()
        due = self.core.next_deadline(now)
        if due is None:
            return POLL_MS_MAX
        return min(max(0, math.ceil((due - now) * 1000)), POLL_MS_MAX)

    def _look_at_link(self, number: int, dealer: Dealer, now: float) -> None:
        for link in dealer.links():
            if link is Link.UP:
                self.core.connected(number, now)
            else:
                self.core.disconnected(number, now)
            self._flush(now)

    def _look_at_door(
        self, door: LaneDoor, ready: Mapping[Any, int], now: float
    ) -> None:
        due = door.next_deadline()
        if door.fileno() in ready or (due is not None and due <= now):
            for token, taken in door.pump(now):
                self.core.lane_taken(token, taken, now)
        if door.calls.fileno() in ready:
            for lane, message in door.calls.receive():
                self._take_direct(lane, message, now)
        for lane in door.calls.aged(now):
            self._close_lane(lane)

    def _take_direct(
        self, lane: int, message: Message | ProtocolError | None, now: float
    ) -> None:
        """Something has come by a call lane, or its end."""
        try:
            if message is None:
                raise CancelledError("the client has left")
            if isinstance(message, ProtocolError):
                raise message
            asked = self.core.direct.asked(lane, message, now)
        except (CancelledError, ProtocolError) as why:
            if isinstance(why, ProtocolError):
                log.warning("a call lane is closed: %s", why.detail)
            self._close_lane(lane)
            return
        if isinstance(asked, Task):
            self._quick.append(asked)
        else:
            self.reply(asked)

    def _close_lane(self, lane: int) -> None:
        self.core.direct.gone(lane)
        if self._door is not None:
            self._door.calls.drop(lane)

    def _run_quick(self) -> tuple[Task, Outcome | BaseException] | None:
        """Run jobs that are known to be quick, a bounded part of them; see `_turn`."""
        now = time.monotonic()
        for _ in range(min(len(self._quick), BATCH_JOBS)):
            task = self._quick.popleft()
            call = task.stream if isinstance(task.stream, DirectCall) else None
            if not self._is_quick(task, now):  # since it was put here
                if call is None:
                    self._threads.start(task)
                else:
                    pause_s = self._pace.pause_s(call.operation, now)
                    self.reply(self.core.direct.decline(call, NOT_QUICK, pause_s))
                continue
            if call is not None and not self.core.direct.begin(task, now):
                self.reply(self.core.direct.decline(call, NO_SLOT, NO_SLOT_S))
                continue
            before = effort()
            self._helm.leave(task)
            outcome = self._threads.attempt(task)
            if not self._helm.back(task):
                return task, outcome
            if isinstance(outcome, BaseException):
                raise outcome
            began, now = now, time.monotonic()
            spent = spent_us(before, effort(), (now - began) * 1_000_000)
            self._pace.took(task.stream.operation, spent, now)
            self._obey(now)  # what came before the outcome goes before it
            self._finished(task, outcome, now)
        return None

    def _finished(self, task: Task, outcome: Outcome, now: float) -> None:
        """A job has ended."""
        if not isinstance(task.stream, DirectCall):
            self.core.finished(task, outcome, now)
            return
        reply = self.core.direct.finished(task, outcome, now)
        if reply is not None:
            self.reply(reply)

    def _is_quick(self, task: Task, now: float) -> bool:
        """Whether the loop may run a task itself."""
        return self._never_waits or (
            not task.bulk and self._pace.is_quick(task.stream.operation, now)
        )

    def _flush(self, now: float) -> None:
        """Do what the machine has asked for."""
        outbox = self.core.outbox
        while outbox:
            action = outbox.popleft()
            if isinstance(action, Send):
                if not self.deliver(action.link, action.message):
                    self.core.undelivered(action.link, now)
            elif isinstance(action, Start):
                if self._is_quick(action.task, now):
                    self._quick.append(action.task)
                else:
                    self._threads.start(action.task)
            elif isinstance(action, Note):
                log.log(
                    logging.WARNING if action.serious else logging.INFO, action.text
                )
            elif isinstance(action, Offers):
                if self._door is not None:
                    self._door.offer(action.offer)
            elif isinstance(action, Withdraw):
                if self._door is not None:
                    self._door.withdraw(action.token)
            elif isinstance(action, Listen):
                self._bells.listen(action)
            elif isinstance(action, LetGo):
                self._bells.let_go(action.lane)
            else:
                self._stop = self._stop or action

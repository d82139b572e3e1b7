"""The worker's thread: it polls the brokers, asks the machine, and does what it says.

The only file of the worker that knows ZeroMQ and the clock.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

import zmq

from ..broker.dealer import Dealer, Link
from ..broker.messages import Hello
from ..broker.wakeup import Wakeup
from ..broker.wire import Message
from ..drivers.contract import StorageDriver
from .actions import Note, Send, Start, Stop
from .core import WorkerCore
from .jobs import Outcome
from .schedule import Task
from .threads import Threads

BATCH_MESSAGES = 64
"""Messages taken from one broker before the others have their turn."""
BATCH_JOBS = 64
"""Outcomes taken, or jobs run inline, before messages have their turn."""
POLL_MS_MAX = 1_000
FAREWELL_MS = 50
"""Time that libzmq gets to send the last messages."""
LAG_DECAY = 0.8
"""What is left of an old lag after each turn of the loop."""

log = logging.getLogger("storagebus.worker")


class WorkerLoop:
    """A worker and its sockets; to be made, run and closed in one thread.

    Args:
        driver: the driver, behind its checks.
        hello: what the worker says of itself.
        endpoints: checked addresses of the brokers' doors for workers.
    """

    def __init__(
        self, driver: StorageDriver, hello: Hello, endpoints: Sequence[str]
    ) -> None:
        self.core = WorkerCore(hello, len(endpoints))
        self._driver = driver
        self._wakeup = Wakeup()
        self._threads = Threads(driver, self._wakeup, self.run_task)
        self._inline: deque[Task] | None = (
            deque() if driver.capabilities.nonblocking else None
        )
        self._commands: deque[Callable[[float], None]] = deque()
        self._stop: Stop | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._poller.register(self._wakeup.fileno(), zmq.POLLIN)
        self._dealers = [self._connect(endpoint) for endpoint in endpoints]

    def drain(self, grace_s: float) -> None:
        """Finish what is here, then stop. Safe from any thread and signal handler."""
        self._commands.append(lambda now: self.core.drain(grace_s, now))
        self._wakeup.set()

    def halt(self, why: str, code: int = 0) -> None:
        """Stop at once. Safe from any thread and signal handler."""
        self._commands.append(lambda now: self.core.halt(why, code))
        self._wakeup.set()

    def tear(self) -> None:
        """Break every connection without a word, and connect anew. Safe from any
        thread."""
        self._commands.append(self._reconnect)
        self._wakeup.set()

    def run_task(self, task: Task, driver: StorageDriver) -> Outcome:
        """Do a task's job, in the calling thread."""
        return task.run(driver)

    def deliver(self, link: int, message: Message) -> bool:
        """Send a message by a link; False when it could not be taken."""
        return self._dealers[link].send(message)

    def run(self) -> Stop:
        """Serve until told to stop; says why it ended.

        Raises:
            BaseException: what the driver raised to end the process.
        """
        try:
            while self._stop is None:
                self._turn()
            time.sleep(FAREWELL_MS / 1000)
        finally:
            self.close()
        return self._stop

    def close(self) -> None:
        """Close the sockets."""
        self._threads.stop()
        for dealer in self._dealers:
            dealer.close()
        self._dealers.clear()
        self._context.destroy(linger=0)

    def _connect(self, endpoint: str) -> Dealer:
        dealer = Dealer(self._context, endpoint)
        for socket in dealer.pollables:
            self._poller.register(socket, zmq.POLLIN)
        return dealer

    def _reconnect(self, now: float) -> None:
        for number, dealer in enumerate(self._dealers):
            for socket in dealer.pollables:
                self._poller.unregister(socket)
            dealer.close()
            self._dealers[number] = self._connect(dealer.endpoint)
            self.core.disconnected(number, now)
            self._flush(now)

    def _turn(self) -> None:
        """Sleep until something happens, and deal with a bounded part of it."""
        ready = dict(self._poller.poll(self._wait_ms()))
        woken = now = time.monotonic()
        if self._wakeup.fileno() in ready:
            self._wakeup.clear()
        while self._commands:
            self._commands.popleft()(now)
        for number, dealer in enumerate(self._dealers):
            socket, monitor = dealer.pollables
            if monitor in ready:
                self._look_at_link(number, dealer, now)
            if socket in ready:
                for message in dealer.receive(BATCH_MESSAGES):
                    self.core.received(number, message, now)
                    self._flush(now)
        now = time.monotonic()
        for task, outcome in self._threads.take(BATCH_JOBS):
            self.core.finished(task, outcome, now)
            self._flush(now)
        self._run_inline()
        now = time.monotonic()
        due = self.core.next_deadline(now)
        if due is not None and now >= due:
            self.core.tick(now)
        self._flush(now)
        self.core.lag_s = max(now - woken, self.core.lag_s * LAG_DECAY)

    def _wait_ms(self) -> int:
        if self._inline or self._threads.done or self._commands:
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

    def _run_inline(self) -> None:
        """The work of a driver that never waits, a bounded part of it."""
        if self._inline is None:
            return
        for _ in range(min(len(self._inline), BATCH_JOBS)):
            task = self._inline.popleft()
            outcome = self.run_task(task, self._driver)
            now = time.monotonic()
            self.core.finished(task, outcome, now)
            self._flush(now)

    def _flush(self, now: float) -> None:
        """Do what the machine has asked for."""
        outbox = self.core.outbox
        while outbox:
            action = outbox.popleft()
            if isinstance(action, Send):
                if not self.deliver(action.link, action.message):
                    self.core.undelivered(action.link, now)
            elif isinstance(action, Start):
                if self._inline is None:
                    self._threads.start(action.task)
                else:
                    self._inline.append(action.task)
            elif isinstance(action, Note):
                log.log(
                    logging.WARNING if action.serious else logging.INFO, action.text
                )
            else:
                self._stop = self._stop or action

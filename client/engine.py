"""The process's I/O thread: it drives the connections of all synchronous clients.

One thread, with one connection for each set of brokers, shared by every `Client` of
the process and gone with the last of them. A forked child starts
with none of it and makes its own; what belongs to the parent it never touches.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

import zmq

from ..broker.bell import Bell
from ..broker.dealer import Dealer
from ..broker.wakeup import Wakeup
from ..drivers.errors import Executed, InvalidStateError
from .connection import Connection, OpenLink, wait_ms
from .context import context
from .handles import Handle
from .requests import Request

POLL_MS_MAX = 60_000
ACTIONS_MAX = 256
"""Actions of application threads that are done before the network has its turn."""
GUARD_S = 5.0
"""A waiting thread looks this often whether the I/O thread is still there."""
STOP_S_MAX = 2.0
FAULT_PAUSE_S = 0.1
"""So that a fault that repeats is no busy loop."""

log = logging.getLogger("storagebus.client")


class ThreadSignal:
    """A thread waits for the I/O thread.

    A bare lock, as the cheapest thing that one thread can wait for and another give:
    a Condition takes three times as long.
    """

    __slots__ = ("_engine", "_lock")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it was set already

    async def wait(self) -> None:
        self._engine.check_usable()
        if not self._lock.acquire(timeout=GUARD_S):
            self._engine.check_usable()

    async def hear(self, bell: Bell, within_s: float) -> None:
        self._engine.check_usable()
        bell.wait(within_s)

    def deafen(self) -> None:
        """The thread that waits is the one that closes."""


class Engine:
    """The thread and what it drives."""

    def __init__(self) -> None:
        self._wakeup = Wakeup()
        self._actions: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._lock = threading.Lock()
        self._users: dict[tuple[str, ...], int] = {}
        self._connections: dict[tuple[str, ...], Connection] = {}
        self._driven: list[Connection] = []
        self._poller = zmq.Poller()
        self._poller.register(self._wakeup.fileno(), zmq.POLLIN)
        self._stopping = False
        self._forked = False
        self._thread = threading.Thread(
            target=self._run, name="storagebus-client", daemon=True
        )
        self._thread.start()

    # Called by application threads

    @property
    def usable(self) -> bool:
        """Whether it is this process's, and at work."""
        return not self._forked and not self._stopping

    def join(
        self, endpoints: tuple[str, ...], open_link: OpenLink = Dealer
    ) -> Connection:
        """Use the connection to some brokers; it is made by the first who does."""
        with self._lock:
            users = self._users.get(endpoints, 0)
            if not users:
                connection = Connection(context(), endpoints, time.monotonic, open_link)
                self._connections[endpoints] = connection
                self.post(self._watch, connection)
            self._users[endpoints] = users + 1
            return self._connections[endpoints]

    def leave(self, endpoints: tuple[str, ...]) -> bool:
        """The reverse of `join`; True when nobody uses the engine any more."""
        with self._lock:
            self._users[endpoints] -= 1
            if not self._users[endpoints]:
                del self._users[endpoints]
                connection = self._connections.pop(endpoints)
                if self.usable:
                    self.post(self._unwatch, connection)
            return not self._users

    def begin(self, connection: Connection, request: Request) -> Handle:
        """Start an operation whose events the calling thread will wait for."""
        return Handle(self, connection, ThreadSignal(self), request)

    def post(self, action: Callable[..., None], *arguments: Any) -> None:
        """Have the I/O thread do this soon."""
        self.check_usable()
        self._actions.append((action, arguments))
        self._wakeup.set()

    def release(self) -> None:
        """Part of `Port`; the thread stays as long as a client is open."""

    def check_usable(self) -> None:
        """Raise if nobody would answer any more.

        Raises:
            InvalidStateError: the client is closed, or belongs to a parent process.
        """
        if self._forked:
            raise InvalidStateError("opened before a fork, by the parent process")
        if self._stopping or not self._thread.is_alive():
            raise InvalidStateError("the client is closed", executed=Executed.MAYBE)

    def stop(self) -> None:
        """End the thread, and all operations."""
        if self._forked:
            return
        self._stopping = True
        self._wakeup.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_S_MAX)

    def forget(self) -> None:
        """In a forked child: this engine is the parent's."""
        self._forked = True
        self._lock = threading.Lock()  # another thread may have held it

    # The thread

    def _run(self) -> None:
        while not self._stopping:
            self._turn()
        self._work()
        for connection in self._driven:
            self._guarded(connection.close)
        self._work()
        self._wakeup.close()

    def _turn(self) -> None:
        due = min((c.next_deadline for c in self._driven), default=inf)
        wait = 0 if self._actions else wait_ms(due, time.monotonic(), POLL_MS_MAX)
        ready = dict(self._poller.poll(wait))
        if self._wakeup.fileno() in ready:
            self._wakeup.clear()
        self._work()
        for connection in self._driven:
            self._guarded(connection.pump, ready.__contains__)

    def _work(self) -> None:
        for _ in range(ACTIONS_MAX):
            try:
                action, arguments = self._actions.popleft()
            except IndexError:
                return
            self._guarded(action, *arguments)

    def _guarded(self, action: Callable[..., Any], *arguments: Any) -> None:
        """A fault of ours may cost one operation, which its guard then ends."""
        try:
            action(*arguments)
        except Exception:
            log.exception("a fault in the client's I/O thread")
            time.sleep(FAULT_PAUSE_S)

    def _watch(self, connection: Connection) -> None:
        self._driven.append(connection)
        for socket in connection.sockets:
            self._poller.register(socket, zmq.POLLIN)

    def _unwatch(self, connection: Connection) -> None:
        self._driven.remove(connection)
        for socket in connection.sockets:
            self._poller.unregister(socket)
        connection.close()


_engine: Engine | None = None
_engine_lock = threading.Lock()
_parents: list[Engine] = []
"""Engines of parent processes: kept, so that nothing of them is closed here."""


def acquire(
    endpoints: tuple[str, ...], open_link: OpenLink = Dealer
) -> tuple[Engine, Connection]:
    """The engine of this process, and its connection to some brokers."""
    global _engine
    with _engine_lock:
        if _engine is None:
            _engine = Engine()
        return _engine, _engine.join(endpoints, open_link)


def relinquish(engine: Engine, endpoints: tuple[str, ...]) -> None:
    """A client is closed; the last one ends the thread."""
    global _engine
    with _engine_lock:
        last = engine.leave(endpoints)
        if last and engine is _engine:
            _engine = None
    if last:
        engine.stop()


def _after_fork() -> None:
    global _engine, _engine_lock
    _engine_lock = threading.Lock()
    if _engine is not None:
        _engine.forget()
        _parents.append(_engine)
        _engine = None


def _at_exit() -> None:
    if _engine is not None:
        _engine.stop()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

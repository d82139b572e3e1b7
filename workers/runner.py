"""The manager's thread: waits for children, clock and commands; obeys the pools.

The only place where processes are started, signalled and reaped.
"""

from __future__ import annotations

import logging
import random
import secrets
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count

from ..broker.wakeup import Wakeup
from ..drivers.errors import BusyError
from .board import Board, ChildStatus
from .children import ChildEnded, ChildReady, ChildStarted, Ending, Notice, ProcessSpec
from .diary import Diary
from .guard import RESTART_S, Guard
from .members import Action, Kill, Spawn, Terminate
from .output import OutputLog
from .pool import Pool
from .spawn import Child

COMMANDS_MAX = 10_000
KILL_WAIT_S = 5.0
"""How long a killed process may take to vanish before a stop goes on without it."""
COOKIE_BYTES = 16

Command = Callable[[float], list[Action]]

_log = logging.getLogger("storagebus.manager")


class Runner:
    """Everything that belongs to the thread; others call `post` only.

    Args:
        board: where it shows how things stand.
        on_change: called with every notice.
        directory: removed when this process is gone.

    Attributes:
        pools: by name; the thread's own.
        is_clean: after `run`, whether every process is gone.
    """

    def __init__(
        self,
        board: Board,
        on_change: Callable[[Notice], None],
        directory: str = "",
    ) -> None:
        self.pools: dict[str, Pool] = {}
        self.is_clean = True
        self._board = board
        self._on_change = on_change
        self._numbers = count(1)
        self._children: dict[int, tuple[Pool, Child]] = {}
        self._details: dict[str, str] = {}
        self._commands: deque[Command] = deque()
        self._wakeup = Wakeup()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakeup, selectors.EVENT_READ, lambda: None)
        self._guard = Guard(directory)
        self._is_guardless = False
        self._output = OutputLog()
        self._diary = Diary()
        self._is_dirty = True
        self._stopping = False
        self._grace_s: float | None = None
        self._wave: int | None = None
        self._wave_deadline = float("inf")

    def post(self, command: Command) -> None:
        """Have a command run by the thread. Safe from any thread.

        Raises:
            BusyError: too many wait already.
        """
        if len(self._commands) >= COMMANDS_MAX:
            raise BusyError(f"{COMMANDS_MAX} commands to the process manager wait")
        self._commands.append(command)
        self._wakeup.set()

    def run(self) -> None:
        """Work until `stop` is over."""
        try:
            while not (self._stopping and not self.pools):
                self._turn()
        finally:
            # After an error in here nothing looks after the children any more.
            for _, child in self._children.values():
                child.process.send_group(signal.SIGKILL)
                child.close()
            self._guard.close()
            self._output.close()
            self._selector.close()
            self._wakeup.close()
            self._board.close()

    def add(self, spec: ProcessSpec, now: float) -> list[Action]:
        """A command: start a pool."""
        if self._stopping:
            return []
        pool = self.pools[spec.name] = Pool(spec, self._numbers)
        return pool.start(now)

    def of_child(self, child: int, act: Callable[[Pool], list[Action]]) -> list[Action]:
        """A command on the pool of a child; without effect when it has ended."""
        if child not in self._children:
            return []
        return act(self._children[child][0])

    def of_pool(self, name: str, act: Callable[[Pool], list[Action]]) -> list[Action]:
        """A command on a pool; without effect when it has stopped."""
        return act(self.pools[name]) if name in self.pools else []

    def settle(self, settled: threading.Event) -> list[Action]:
        """A command: all that was asked for before is done and on the board."""
        self._publish()
        settled.set()
        return []

    def stop(self, now: float, grace_s: float | None) -> list[Action]:
        """A command: end all, wave by wave; repeated with a shorter grace, hurry."""
        self._stopping = True
        if grace_s is not None:
            self._grace_s = grace_s
        wave, self._wave = self._wave, None  # begins the wave again, with this grace
        deadline = self._wave_deadline
        actions = self._advance_stop(now)
        if wave is not None:
            self._wave_deadline = min(deadline, self._wave_deadline)
        return actions

    def _turn(self) -> None:
        now = time.monotonic()
        for key, _ in self._selector.select(self._timeout_s(now)):
            key.data()
        self._wakeup.clear()
        now = time.monotonic()
        for _ in range(len(self._commands)):
            self._do(self._commands.popleft()(now))
        for pool in list(self.pools.values()):
            self._do(pool.tick(now))
        if self._stopping:
            self._do(self._advance_stop(now))
        if self._children:
            self._ensure_guard(now)
        if self._is_dirty:
            self._is_dirty = False
            self._publish()

    def _timeout_s(self, now: float) -> float | None:
        if self._commands:
            return 0.0
        times = [pool.next_deadline() for pool in self.pools.values()]
        if self._stopping:
            over = any(pool.stopped for pool in self.pools.values())
            times.append(now if over else self._wave_deadline)
        if self._children and self._guard.fd < 0 and not self._is_guardless:
            times.append(now + RESTART_S)
        due = [moment for moment in times if moment is not None]
        return max(0.0, min(due) - now) if due else None

    def _do(self, actions: list[Action]) -> None:
        """Do what pools ask for, and what they ask for in answer to that."""
        todo = deque(actions)
        while todo:
            self._is_dirty = True
            action = todo.popleft()
            if isinstance(action, Spawn):
                todo += self._spawn(action)
            elif isinstance(action, Terminate | Kill):
                self._signal(action)
            else:
                self._tell(action)

    def _spawn(self, action: Spawn) -> list[Action]:
        number, pool = action.child, self.pools[action.name]
        now = time.monotonic()
        self._ensure_guard(now)
        cookie = secrets.token_hex(COOKIE_BYTES)
        self._board.issue(cookie, number)
        try:
            child = Child(pool.spec, cookie, self._output)
        except (OSError, ValueError) as error:
            self._board.revoke(cookie)
            ending = Ending(error=f"could not be started ({error})")
            return pool.died(number, ending, now, random.random())
        self._guard.add(child.pid)
        self._children[number] = pool, child
        self._watch(child.process.fd, self._ended, number)
        for fd in child.outputs:
            self._watch(fd, self._wrote, number, fd)
        if child.ready_fd >= 0:
            self._watch(child.ready_fd, self._said, number)
        return [ChildStarted(action.name, number, child.pid)]

    def _signal(self, action: Terminate | Kill) -> None:
        if action.child not in self._children:
            return  # it could not be started
        process = self._children[action.child][1].process
        if isinstance(action, Kill):
            process.send_group(signal.SIGKILL)
        else:
            process.send(signal.SIGTERM)
            process.send(signal.SIGCONT)  # a stopped one could not act on it

    def _watch(self, fd: int, act: Callable[..., None], *args: int) -> None:
        self._selector.register(fd, selectors.EVENT_READ, partial(act, *args))

    def _ended(self, number: int) -> None:
        pool, child = self._children[number]
        if not child.process.is_over():
            return
        del self._children[number]
        for fd in (child.process.fd, child.ready_fd, *child.outputs):
            self._unwatch(fd)
        # The guard may forget the group only when it is empty, and must before its
        # number is free for another.
        child.process.send_group(signal.SIGKILL)
        self._guard.remove(child.pid)
        ending = child.reap()
        self._board.revoke(child.cookie)
        self._do(pool.died(number, ending, time.monotonic(), random.random()))

    def _wrote(self, number: int, fd: int) -> None:
        # The child may have ended earlier in the same turn.
        if number in self._children and not self._children[number][1].read_output(fd):
            self._unwatch(fd)

    def _said(self, number: int) -> None:
        if number not in self._children:
            return
        pool, child = self._children[number]
        self._unwatch(child.ready_fd)
        if child.said_ready():
            self._do(pool.ready(number, time.monotonic()))

    def _unwatch(self, fd: int) -> None:
        try:
            self._selector.unregister(fd)
        except (KeyError, ValueError):
            pass  # not watched, or -1

    def _ensure_guard(self, now: float) -> None:
        try:
            pids = [child.pid for _, child in self._children.values()]
            if self._guard.ensure(pids, now):
                self._watch(self._guard.fd, self._guard_ended)
        except OSError as error:
            if not self._is_guardless:
                self._is_guardless = True
                _log.warning("no guard over child processes: %s", error)

    def _guard_ended(self) -> None:
        self._unwatch(self._guard.fd)
        self._guard.close()

    def _tell(self, notice: Notice) -> None:
        if isinstance(notice, ChildReady) and notice.child in self._children:
            self._children[notice.child][1].is_ready = True
        if isinstance(notice, ChildEnded) and not notice.expected:
            self._details[notice.name] = notice.detail
        self._diary.note(notice)
        self._publish()  # who hears of it may look at once
        try:
            self._on_change(notice)
        except Exception:
            _log.exception("the callback for %r failed", notice)

    def _advance_stop(self, now: float) -> list[Action]:
        for name, pool in list(self.pools.items()):
            if pool.stopped:
                del self.pools[name]
        while self.pools:
            wave = max(pool.spec.wave for pool in self.pools.values())
            members = [pool for pool in self.pools.values() if pool.spec.wave == wave]
            if wave != self._wave:
                return self._begin_wave(wave, members, now)
            if now < self._wave_deadline:
                break
            self.is_clean = False
            for pool in members:
                _log.error("processes of %s do not end", pool.spec.name)
                del self.pools[pool.spec.name]
        return []

    def _begin_wave(self, wave: int, pools: list[Pool], now: float) -> list[Action]:
        graces = [
            pool.spec.grace_s if self._grace_s is None else self._grace_s
            for pool in pools
        ]
        self._wave = wave
        self._wave_deadline = now + max(graces) + KILL_WAIT_S
        return [action for pool in pools for action in pool.stop(now, self._grace_s)]

    def _publish(self) -> None:
        statuses = tuple(
            ChildStatus(pool.spec.name, number, child.pid, pool.members[number].state)
            for number, (pool, child) in self._children.items()
        )
        missing: dict[str, str] = {}
        gave_up: dict[str, str] = {}
        for name, pool in self.pools.items():
            if not pool.is_complete:
                missing[name] = f"{pool.ready_count} of {pool.instances} are ready"
                if name in self._details:
                    missing[name] += f"; the last one {self._details[name]}"
            if pool.gave_up is not None:
                gave_up[name] = pool.gave_up
        self._board.publish(statuses, missing, gave_up)

"""The manager of child processes.

It serves a library (the managed children of `create`) as well as a program
(`storagebus up`), so it leaves signal handlers, SIGCHLD and other people's children
alone. Its thread (`runner.Runner`) waits for the children and does what their pools
(`pool.Pool`) decide. Every public method may be called from any thread; none waits,
but for `stop`, `wait_ready` and `run_until`.

When this process ends in whatever way, its children end: see `lifeline` and `guard`.
In a process forked from this one a manager is dead: it touches nothing there.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType

from ..drivers.errors import InvalidParameterError, InvalidStateError
from .board import Board, ChildStatus
from .children import Notice, ProcessSpec, check_instances
from .members import Action
from .pool import Pool
from .runner import Command, Runner

POLL_S = 0.2
"""How often `run_until` looks for a pool that was given up."""


class Manager:
    """Runs pools of child processes.

    Args:
        specs: the pools; more can be added later.
        on_change: called with every `Notice`, from the manager's thread; it must not
            wait, and may call those methods of the manager that do not.
        directory: removed when the manager was stopped, or when this process is gone,
            however it went; for the sockets of the children. "" for none.
    """

    def __init__(
        self,
        specs: Iterable[ProcessSpec] = (),
        on_change: Callable[[Notice], None] | None = None,
        *,
        directory: str = "",
    ) -> None:
        self._on_change = on_change or _ignore
        self._directory = directory
        self._owner = os.getpid()
        self._board = Board()
        # Over what follows; reentrant, as a signal handler may call `stop`.
        self._lock = threading.RLock()
        self._specs: dict[str, ProcessSpec] = {}
        self._runner: Runner | None = None
        self._thread: threading.Thread | None = None
        for spec in specs:
            self.add(spec)

    def add(self, spec: ProcessSpec) -> None:
        """Add a pool; it starts with the manager, or at once if that runs.

        Raises:
            InvalidParameterError: there is a pool of that name.
        """
        self._check_owner()
        with self._lock:
            if spec.name in self._specs:
                raise InvalidParameterError(f"two pools are named {spec.name!r}")
            self._specs[spec.name] = spec
            self._board.expect(spec.name)
            runner = self._runner
        if runner is not None:
            runner.post(partial(runner.add, spec))

    def start(self) -> None:
        """Start the thread and every pool. Harmless when repeated.

        Raises:
            InvalidStateError: the manager was stopped.
        """
        self._check_owner()
        with self._lock:
            if self._board.is_closed:
                raise InvalidStateError("the manager was stopped; make another")
            if self._runner is not None:
                return
            self._runner = runner = Runner(
                self._board, self._on_change, self._directory
            )
            for spec in self._specs.values():
                runner.post(partial(runner.add, spec))
            self._thread = threading.Thread(
                target=runner.run, name="storagebus-manager", daemon=True
            )
            self._thread.start()

    def status(self) -> tuple[ChildStatus, ...]:
        """The children that have not ended."""
        return self._board.statuses

    def gave_up(self, name: str) -> str | None:
        """Why no place of the pool is left, if so."""
        return self._board.gave_up.get(name)

    def claim(self, cookie: str, boot: bytes = b"") -> int | None:
        """Which child presents a cookie in its HELLO.

        A cookie is good for one process: the first claim ties it to the boot id of the
        HELLO, and it dies with the child.

        Args:
            cookie: as presented.
            boot: the boot id of the same HELLO.

        Returns:
            The child's number; None when the cookie is wrong, or was used by another.
        """
        return self._board.claim(cookie, boot)

    def mark_ready(self, child: int) -> None:
        """A child is ready, as when the broker accepted its HELLO."""
        self._on_child(child, lambda pool, now: pool.ready(child, now))

    def replace(self, child: int, fault: str, grace_s: float | None = None) -> None:
        """End a child that does not do its work, and start another.

        Args:
            child: its number.
            fault: what it did, as in "answered no ping for 20 s".
            grace_s: until it is killed; None for the specification's.
        """
        self._on_child(
            child, lambda pool, now: pool.replace(child, fault, now, grace_s)
        )

    def resize(self, name: str, instances: int) -> None:
        """Let a pool grow or shrink; who has to go is asked to, and drains.

        Raises:
            InvalidParameterError: no such pool, or a wrong number.
        """
        try:
            check_instances(instances)
        except ValueError as error:
            raise InvalidParameterError(str(error)) from None
        self._on_pool(name, lambda pool, now: pool.resize(instances, now))

    def rolling_restart(self, name: str) -> None:
        """Replace a pool's processes one by one; `Rolled` tells the end.

        Raises:
            InvalidParameterError: no such pool.
        """
        self._on_pool(name, Pool.roll)

    def revive(self, name: str) -> None:
        """Try again where a pool was given up.

        Raises:
            InvalidParameterError: no such pool.
        """
        self._on_pool(name, Pool.revive)

    def wait_ready(self, timeout_s: float, name: str | None = None) -> None:
        """Wait until a pool, or every pool, has all its processes ready.

        Args:
            timeout_s: seconds to wait at most.
            name: of the pool; None for all.

        Raises:
            UnavailableError: a pool was given up; says how its children ended.
            DeadlineExceededError: the time is over; says who is missing.
            InvalidStateError: the manager was not started.
        """
        deadline = time.monotonic() + timeout_s
        # What was asked for before must show on the board before it is looked at.
        settled = threading.Event()
        self._post(lambda runner: lambda now: runner.settle(settled))
        if not self._board.is_closed:
            settled.wait(timeout_s)
        self._board.wait_ready(max(0.0, deadline - time.monotonic()), name)

    def run_until(self, stop: threading.Event) -> str | None:
        """Wait, in a program's main thread, until it is to end.

        Args:
            stop: set by the program's signal handlers.

        Returns:
            None when `stop` was set; the reason when a pool was given up.
        """
        while not stop.wait(POLL_S):
            for reason in self._board.gave_up.values():
                return reason
        return None

    def stop(self, grace_s: float | None = None) -> bool:
        """End all children and the thread: ask, wait for the grace, kill.

        Waves of pools (`ProcessSpec.wave`) follow one another. Called again, with a
        shorter grace, it hurries a stop that is under way.

        Args:
            grace_s: instead of the specifications'.

        Returns:
            Whether every process is gone, as far as that is known: in the manager's
            own thread, and in a forked process, there is no waiting.
        """
        if os.getpid() != self._owner:
            return True
        with self._lock:
            runner, thread = self._runner, self._thread
            if runner is None or thread is None:
                self._board.close()
                return True
        if not self._board.is_closed:
            runner.post(lambda now: runner.stop(now, grace_s))
        if thread is threading.current_thread():
            return False
        thread.join()  # the thread bounds each wave by its grace and KILL_WAIT_S
        return runner.is_clean

    def __enter__(self) -> Manager:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _check_owner(self) -> None:
        if os.getpid() != self._owner:
            raise InvalidStateError(
                f"this manager belongs to process {self._owner}, from which this one "
                "was forked; make another"
            )

    def _post(self, command: Callable[[Runner], Command]) -> None:
        self._check_owner()
        with self._lock:
            runner = self._runner
        if runner is None:
            raise InvalidStateError("the manager was not started")
        if not self._board.is_closed:
            runner.post(command(runner))

    def _on_child(self, child: int, act: Callable[[Pool, float], list[Action]]) -> None:
        self._post(
            lambda runner: (
                lambda now: runner.of_child(child, lambda pool: act(pool, now))
            )
        )

    def _on_pool(self, name: str, act: Callable[[Pool, float], list[Action]]) -> None:
        with self._lock:
            if name not in self._specs:
                raise InvalidParameterError(f"there is no pool {name!r}")
        self._post(
            lambda runner: lambda now: runner.of_pool(name, lambda pool: act(pool, now))
        )


def _ignore(_: Notice) -> None:
    """What is called when nobody wants notices."""

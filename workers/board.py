"""What the manager's thread shows to others: who runs, who is ready, which cookies.

The one place where threads meet: the manager's thread writes, any thread reads or
waits, all under one lock that is never held while anything else happens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ..drivers.errors import DeadlineExceededError, UnavailableError
from .members import State


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """A child as it stands.

    Attributes:
        name: the pool's.
        child: the child's number.
        pid: of its process.
        state: see `State`.
    """

    name: str
    child: int
    pid: int
    state: State


class Board:
    """The shared state of one manager."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._statuses: tuple[ChildStatus, ...] = ()
        self._missing: dict[str, str] = {}
        self._gave_up: dict[str, str] = {}
        self._cookies: dict[str, tuple[int, bytes | None]] = {}
        self._is_closed = False

    def publish(
        self,
        statuses: tuple[ChildStatus, ...],
        missing: Mapping[str, str],
        gave_up: Mapping[str, str],
    ) -> None:
        """Show how things stand.

        Args:
            statuses: every child.
            missing: for each pool that is not complete, what it lacks.
            gave_up: for each pool that was given up, the reason.
        """
        with self._changed:
            self._statuses = statuses
            self._missing = dict(missing)
            self._gave_up = dict(gave_up)
            self._changed.notify_all()

    def expect(self, name: str) -> None:
        """A pool is to be started; until it is published, it counts as missing."""
        with self._changed:
            self._missing[name] = "it was not started"

    def close(self) -> None:
        """Nothing will change any more."""
        with self._changed:
            self._is_closed = True
            self._cookies.clear()
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        with self._changed:
            return self._is_closed

    @property
    def statuses(self) -> tuple[ChildStatus, ...]:
        """The children that have not ended."""
        with self._changed:
            return self._statuses

    @property
    def gave_up(self) -> Mapping[str, str]:
        """The reason for each pool of which no place is left."""
        with self._changed:
            return dict(self._gave_up)

    def issue(self, cookie: str, child: int) -> None:
        """Make a cookie good for a child that is about to start."""
        with self._changed:
            self._cookies[cookie] = child, None

    def revoke(self, cookie: str) -> None:
        """The child has ended."""
        with self._changed:
            self._cookies.pop(cookie, None)

    def claim(self, cookie: str, boot: bytes) -> int | None:
        """See `Manager.claim`."""
        with self._changed:
            child, owner = self._cookies.get(cookie, (None, None))
            if child is None or (owner is not None and owner != boot):
                return None
            self._cookies[cookie] = child, boot
            return child

    def wait_ready(self, timeout_s: float, name: str | None) -> None:
        """See `Manager.wait_ready`."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while missing := self._missing_of(name):
                for pool in missing:
                    if pool in self._gave_up:
                        raise UnavailableError(self._gave_up[pool], temporary=False)
                left_s = deadline - time.monotonic()
                if self._is_closed:
                    raise UnavailableError("the manager of the processes was stopped")
                if left_s <= 0:
                    raise DeadlineExceededError(
                        "not every process was ready in time: "
                        + "; ".join(f"{pool}: {why}" for pool, why in missing.items())
                    )
                self._changed.wait(left_s)

    def _missing_of(self, name: str | None) -> dict[str, str]:
        if name is None:
            return self._missing
        return {pool: why for pool, why in self._missing.items() if pool == name}

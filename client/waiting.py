"""How callers wait: on an event loop, or in a thread that blocks.

All that waits above the core is a coroutine. On an event loop it suspends; for the
synchronous client the wait itself blocks, so that the coroutine runs to its end in one
go (`run_now`). So there is one implementation of everything above the core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..broker.bell import Bell
from ..drivers.errors import StorageError
from .calllanes import LanePool
from .errands import errands
from .requests import Request

if TYPE_CHECKING:
    from .handles import Handle

_T = TypeVar("_T")


class Signal(Protocol):
    """How a caller waits for the events of its operation."""

    def set(self) -> None:
        """There is news. Called by whoever drives the connection."""

    async def wait(self) -> None:
        """Wait until `set` was called since the last wait; may return early."""

    async def hear(self, bell: Bell, within_s: float) -> None:
        """Wait until a bell rings or is interrupted, or the time is over; may return
        early. With no time, see what else there is to do."""

    def deafen(self) -> None:
        """The bell that was waited for is about to be closed."""


class Port(Protocol):
    """How a caller reaches the owner of a connection."""

    def post(self, action: Callable[..., None], *arguments: Any) -> None:
        """Have the owner of the connection do this soon, in the order of the posts.

        Raises:
            StorageError: there is no owner any more.
        """

    def release(self) -> None:
        """The operation is over for its caller."""


class Transport(Protocol):
    """What operations stand on."""

    def now(self) -> float:
        """The present, in seconds of the clock that deadlines are on."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def run(
        self,
        work: Callable[[], _T],
        within_s: float | None = None,
        *,
        at_once: bool = False,
    ) -> _T:
        """Do what may block for a moment, where that does no harm.

        Args:
            work: what to do.
            within_s: seconds after which it is not waited for any more.
            at_once: whether it is sure to wait for nothing, and only takes its time.

        Raises:
            DeadlineExceededError: it has not ended by then.
            BusyError: too many others have not, either.
        """
        ...

    async def explain(self, error: StorageError) -> None:
        """Add to an error that will be raised what is known of its reason."""

    def begin(self, request: Request, *, brief: bool) -> Handle:
        """Start an operation.

        Args:
            request: what to do.
            brief: whether the caller stays until it has ended.

        Raises:
            StorageError: the client is closed.
        """
        ...

    @property
    def call_lanes(self) -> LanePool | None:
        """Ways past the broker for small calls; None while there are none to be had."""

    def close(self) -> None:
        """Leave the brokers; what is under way fails. Harmless when repeated."""


class Blocking:
    """What the transports of the synchronous client share: the calling thread waits."""

    def now(self) -> float:
        """Part of `Transport`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Part of `Transport`."""
        time.sleep(seconds)

    async def run(
        self,
        work: Callable[[], _T],
        within_s: float | None = None,
        *,
        at_once: bool = False,
    ) -> _T:
        """Part of `Transport`: another thread does what might hang."""
        if at_once or within_s is None:
            return work()
        return errands.run(work, within_s)


def run_now(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine whose waits block instead of suspending."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    work.close()
    raise AssertionError("a wait of the synchronous client has suspended")

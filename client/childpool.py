"""The processes behind a managed child: recognized, counted, watched, replaced.

The manager (`workers.manager`) starts and ends processes; the broker core hears them.
This joins the two: a HELLO's cookie says which process speaks, its acceptance makes
that process ready, and one that holds on to a call that was given up, or has lost its
connection, is replaced.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from ..broker.messages import Hello, Reason
from ..broker.notices import Joined, Left
from ..broker.notices import Notice as BrokerNotice
from ..drivers.contract import Capabilities
from ..drivers.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    Executed,
    IncompatibleVersionError,
    InvalidParameterError,
    StorageError,
    UnavailableError,
)
from ..workers.children import ChildEnded, GaveUp, Notice, ProcessSpec
from ..workers.elastic import Elastic, PoolLoad, PoolSize
from ..workers.exits import Exit
from ..workers.manager import Manager
from ..workers.watch import ExecutableWatch
from .local import WorkerLook

SERVICE = "default"
STUCK_S_MAX = 5.0
"""How long a process may hold on to a call that was given up."""
LOST_S_MAX = 10.0
"""How long a process may be without a connection before it is replaced."""
REPLACE_GRACE_S = 1.0

log = logging.getLogger("storagebus.client")

_BY_CODE: dict[int | None, type[StorageError]] = {
    Exit.PARAMETERS: InvalidParameterError,
    Exit.USAGE: InvalidParameterError,
}
_BY_REASON: dict[Reason, type[StorageError]] = {
    Reason.VERSION: IncompatibleVersionError,
    Reason.REFUSED: AccessDeniedError,
}


class ChildPool:
    """The processes of one driver.

    Args:
        spec: how to run one; its number of instances is set here.
        size: bounds of the pool.
        executable: the file to watch for a replacement.

    Attributes:
        failure: why there will be no process any more; else None.
        on_gave_up: called with that error when it comes.
    """

    def __init__(self, spec: ProcessSpec, size: PoolSize, executable: str) -> None:
        # One at first: only its HELLO tells whether there may be more.
        self._spec = replace(spec, instances=1)
        self._size = size
        self._elastic = Elastic(replace(size, least=1, most=1))
        self._watch = ExecutableWatch(executable)
        self._manager = Manager([self._spec], self._on_change)
        self._settled = threading.Condition()
        self._is_ready = False
        self._children: dict[bytes, int] = {}
        self._lost: dict[int, float] = {}
        self.failure: StorageError | None = None
        self.on_gave_up: Callable[[StorageError], None] = lambda error: None

    def start(self, timeout_s: float) -> None:
        """Start the first process and wait until it is ready.

        Raises:
            IncompatibleVersionError: it speaks another version; names both.
            InvalidParameterError: it does not take the parameters.
            AccessDeniedError: it has presented a wrong cookie.
            UnavailableError: it ended, or was not ready in time; with its last lines.
        """
        self._manager.start()
        ends = time.monotonic() + timeout_s
        with self._settled:
            while not self._is_ready and self.failure is None:
                left = ends - time.monotonic()
                if left <= 0:
                    raise DeadlineExceededError(
                        f"{self._spec.argv[0]} was not ready within {timeout_s:g} s",
                        executed=Executed.NO,
                    )
                self._settled.wait(left)
            if self.failure is not None and not self._is_ready:
                raise self.failure

    def stop(self, grace_s: float | None = None) -> None:
        """End all processes; returns when they are gone."""
        self._manager.stop(grace_s)

    def pids(self) -> list[int]:
        """The processes that run."""
        return [status.pid for status in self._manager.status()]

    # -- from the broker core, in the I/O thread --------------------------------

    def admit(self, hello: Hello) -> str:
        """Why a worker may not join: it is none of ours."""
        child = self._manager.claim(hello.cookie, hello.boot)
        if child is None:
            return f"process {hello.pid} presented a wrong cookie"
        self._children[hello.boot] = child
        return ""

    def on_notice(self, notice: BrokerNotice) -> None:
        """A process has joined, left or was turned away."""
        hello = notice.hello
        child = self._children.get(hello.boot)
        if isinstance(notice, Joined):
            if child is None:
                return
            self._lost.pop(child, None)
            if not self._is_ready:
                self._set_size(Capabilities.from_fields(hello.capabilities or {}))
            self._manager.mark_ready(child)
            with self._settled:
                self._is_ready = True
                self._settled.notify_all()
        elif isinstance(notice, Left):
            if child is not None:
                self._lost[child] = time.monotonic()
        else:
            self._turned_away(_BY_REASON.get(notice.reason), notice.detail)

    def on_beat(self, look: list[WorkerLook], load: PoolLoad) -> None:
        """About once a second: replace who is stuck, fit the size to the load."""
        now = time.monotonic()
        for worker in look:
            child = self._children.get(worker.boot)
            if child is not None and worker.stuck_s > STUCK_S_MAX:
                fault = (
                    f"held on to a call {worker.stuck_s:.0f} s after it was given up"
                )
                self._replace(child, fault)
        for child, since in list(self._lost.items()):
            if now - since > LOST_S_MAX:
                self._replace(child, f"was not heard for {now - since:.0f} s")
        before = self._elastic.instances
        wanted = self._elastic.look(load, now)
        if wanted != before:
            log.info("pool %s: %d processes", self._spec.name, wanted)
            self._manager.resize(self._spec.name, wanted)
        if self._watch.changed(now):
            log.info("pool %s: its executable was replaced", self._spec.name)
            self._manager.rolling_restart(self._spec.name)

    # -- from the manager, in its thread ----------------------------------------

    def _on_change(self, notice: Notice) -> None:
        if isinstance(notice, ChildEnded):
            for boot, child in list(self._children.items()):
                if child == notice.child:
                    del self._children[boot]
            self._lost.pop(notice.child, None)
            if not notice.was_ready and not notice.expected:
                cls = _BY_CODE.get(notice.ending.code, UnavailableError)
                self._turned_away(cls, notice.detail)
        elif isinstance(notice, GaveUp) and notice.whole_pool:
            self._fail(UnavailableError(notice.reason, temporary=False))

    # -- within -----------------------------------------------------------------

    def _set_size(self, capabilities: Capabilities) -> None:
        """The first process has said what it is: start the others, if it may share."""
        if not capabilities.shared:
            if self._size.most > 1:
                log.info("driver %s cannot share: one process", self._spec.name)
            return
        self._elastic = Elastic(self._size)
        if self._size.least > 1:
            self._manager.resize(self._spec.name, self._size.least)

    def _replace(self, child: int, fault: str) -> None:
        log.warning("pool %s: child %d %s", self._spec.name, child, fault)
        self._lost.pop(child, None)
        self._manager.replace(child, fault, REPLACE_GRACE_S)

    def _turned_away(self, cls: type[StorageError] | None, detail: str) -> None:
        """The first process failed: that is the answer of `start`. Later ones are the
        manager's affair, which tries again."""
        if not self._is_ready:
            error = cls or UnavailableError
            self._fail(error(detail, executed=Executed.NO))

    def _fail(self, error: StorageError) -> None:
        with self._settled:
            if self.failure is None:
                self.failure = error
            self._settled.notify_all()
        self.on_gave_up(error)

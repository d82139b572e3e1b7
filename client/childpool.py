"""The processes behind a managed child: recognized, counted, watched, replaced.

The manager (`workers.manager`) starts and ends processes; the broker core hears them.
This joins the two: a HELLO's cookie says which process speaks, its acceptance makes
that process ready, and one that runs but does not work is replaced.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..broker.messages import Hello, Reason
from ..broker.notices import Joined, TurnedAway
from ..broker.notices import Notice as BrokerNotice
from ..drivers.contract import Capabilities
from ..drivers.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    Executed,
    IncompatibleVersionError,
    InvalidParameterError,
    InvalidStorageDriverError,
    StorageError,
    UnavailableError,
)
from ..workers.children import ChildEnded, GaveUp, Notice, ProcessSpec, Rolled
from ..workers.elastic import Elastic, PoolLoad, PoolSize
from ..workers.exits import Exit
from ..workers.health import Condition, Health
from ..workers.manager import Manager
from ..workers.watch import ExecutableWatch

SERVICE = "default"
READY_MARGIN_S = 2.0
"""How much longer than the manager `start` waits, so that the manager's answer comes
first: it knows the last lines."""
REFUSED_GRACE_S = 1.0
"""What a process that was refused has to say so and end."""
ENDINGS_MAX = 100
"""Ended processes of which it is remembered how they ended."""

log = logging.getLogger("storagebus.client")

_BY_CODE: dict[int | None, type[StorageError]] = {
    Exit.USAGE: InvalidStorageDriverError,
    Exit.PARAMETERS: InvalidParameterError,
    Exit.CONFIGURATION: InvalidParameterError,
}
_BY_REASON: dict[Reason, type[StorageError]] = {
    Reason.VERSION: IncompatibleVersionError,
    Reason.REFUSED: AccessDeniedError,
}


@dataclass(slots=True)
class _Member:
    """A process that has said HELLO.

    Attributes:
        boot: of its HELLO.
        worker: its id at the broker; "" before it has joined.
        lost_at: since when it has no connection; None while it has one.
    """

    boot: bytes
    worker: str = ""
    lost_at: float | None = None


class ChildPool:
    """The processes of one driver.

    The broker core calls it from the I/O thread, the manager from its own, and the
    application from any other; one lock is over what they share.

    Args:
        spec: how to run one; its number of instances is set here.
        size: bounds of the pool.
        directory: removed when this process ends, however it ends.

    Attributes:
        hello: what the first process said of itself; None before it is ready.
        failure: why there will be no process any more; else None.
        on_gave_up: called with that error when it comes.
        on_ended: called with the cookie of every process that has ended unasked, and
            whether by a fault of its own.
    """

    def __init__(self, spec: ProcessSpec, size: PoolSize, directory: str = "") -> None:
        # One at first: only its HELLO tells whether there may be more.
        self._spec = replace(spec, instances=1)
        self._size = size
        self._elastic = Elastic(PoolSize(1, 1))
        self._health: Health[int] = Health()
        self._watch = ExecutableWatch(spec.argv[0])
        self._manager = Manager([self._spec], self._on_change, directory=directory)
        self._changed = threading.Condition()
        self._members: dict[int, _Member] = {}
        self._endings: OrderedDict[str, str] = OrderedDict()
        self._refusal: TurnedAway | None = None
        self.hello: Hello | None = None
        self.failure: StorageError | None = None
        self.on_gave_up: Callable[[StorageError], None] = lambda error: None
        self.on_ended: Callable[[str, bool], None] = lambda cookie, crashed: None

    def start(self) -> Hello:
        """Start the first process and wait until it is ready.

        Returns:
            What it says of itself.

        Raises:
            IncompatibleVersionError: it speaks another version; names both.
            InvalidStorageDriverError: it cannot be run at all.
            InvalidParameterError: it does not take the parameters.
            AccessDeniedError: it has presented a wrong cookie.
            UnavailableError: it ended, or was not ready in time; with its last lines.
        """
        self._manager.start()
        timeout_s = self._spec.start_timeout_s + READY_MARGIN_S
        with self._changed:
            self._changed.wait_for(
                lambda: self.hello is not None or self.failure is not None, timeout_s
            )
            if self.hello is not None:
                return self.hello
            raise self.failure or DeadlineExceededError(
                f"{self._spec.argv[0]} was not ready within {timeout_s:g} s",
                executed=Executed.NO,
            )

    def stop(self, grace_s: float | None = None) -> None:
        """End all processes, which finish their work within the grace; returns when
        they are gone."""
        self._manager.stop(grace_s)

    def pids(self) -> list[int]:
        """The processes that run."""
        return [status.pid for status in self._manager.status()]

    def ending(self, worker: str, wait_s: float) -> str:
        """How a worker's process ended, as in "was ended by SIGKILL".

        Args:
            worker: a text that has its id at the broker in it.
            wait_s: how long to wait, as the loss of a connection is known sooner.

        Returns:
            The words, or "" when nothing is known yet.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._find_ending(worker), wait_s)
            return self._find_ending(worker)

    @property
    def last_ending(self) -> str:
        """How the last process ended that had joined; "" before one has."""
        with self._changed:
            return next(reversed(self._endings.values()), "")

    # -- from the broker core, in the I/O thread --------------------------------

    def admit(self, hello: Hello) -> str:
        """Why a worker may not join; "" when it may."""
        child = self._manager.claim(hello.cookie, hello.boot)
        if child is None:
            return f"process {hello.pid} presented a wrong cookie"
        if hello.service != SERVICE:
            return f"it serves {hello.service!r}, and was told to serve {SERVICE!r}"
        with self._changed:
            self._members.setdefault(child, _Member(hello.boot))
        return ""

    def on_notice(self, notice: BrokerNotice) -> None:
        """A process has joined, left or was turned away."""
        if isinstance(notice, TurnedAway):
            self._turned_away(notice)
            return
        child, member = self._member(notice.hello.boot)
        if member is None:
            return
        if not isinstance(notice, Joined):
            member.lost_at = time.monotonic()
            return
        member.worker = notice.worker
        member.lost_at = None
        if self.hello is None:
            self._set_size(notice.hello)
        self._manager.mark_ready(child)
        with self._changed:
            self.hello = self.hello or notice.hello
            self._changed.notify_all()

    def on_beat(self, conditions: Mapping[bytes, Condition], load: PoolLoad) -> None:
        """About once a second: replace who does not work, fit the size to the load.

        Args:
            conditions: of the workers that are connected, by their boot id.
            load: of all of them.
        """
        now = time.monotonic()
        found: dict[int, Condition] = {}
        with self._changed:
            for child, member in self._members.items():
                if member.lost_at is not None:
                    found[child] = Condition(lost_s=now - member.lost_at)
                elif member.boot in conditions:
                    found[child] = conditions[member.boot]
        for child, fault in self._health.faults(found, now).items():
            self._manager.replace(child, fault.what, fault.grace_s)
        before = self._elastic.instances
        wanted = self._elastic.look(load, now)
        if wanted != before:
            log.info("pool %s: %d processes instead of %d", self.name, wanted, before)
            self._manager.resize(self.name, wanted)
        if self._watch.changed(now):
            self._replaced()

    # -- from the manager, in its thread ----------------------------------------

    def _on_change(self, notice: Notice) -> None:
        if isinstance(notice, ChildEnded):
            if notice.is_news:
                self.on_ended(notice.ending.cookie, notice.ending.by_fault)
            with self._changed:
                member = self._members.pop(notice.child, None)
                if member is not None and member.worker:
                    self._endings[member.worker] = notice.detail
                    while len(self._endings) > ENDINGS_MAX:
                        self._endings.popitem(last=False)
                    self._changed.notify_all()
            if self.hello is None:
                # That is the answer of `start`. Later ones are the manager's affair,
                # which tries again.
                self._fail(self._early_end(notice))
        elif isinstance(notice, GaveUp) and notice.whole_pool:
            self._fail(UnavailableError(notice.reason, temporary=False))
        elif isinstance(notice, Rolled) and notice.error is not None:
            log.warning(
                "pool %s: the old processes go on, as %s", self.name, notice.error
            )

    # -- within -----------------------------------------------------------------

    @property
    def name(self) -> str:
        """Of the pool."""
        return self._spec.name

    def _member(self, boot: bytes) -> tuple[int, _Member | None]:
        with self._changed:
            for child, member in self._members.items():
                if member.boot == boot:
                    return child, member
        return 0, None

    def _find_ending(self, worker: str) -> str:
        return next((how for id_, how in self._endings.items() if id_ in worker), "")

    def _set_size(self, hello: Hello) -> None:
        """The first process has said what it is: start the others, if it may share."""
        if not Capabilities.from_fields(hello.capabilities or {}).shared:
            if self._size.most > 1:
                log.info("driver %s cannot share: one process", self.name)
            return
        self._elastic = Elastic(self._size)
        if self._size.least > 1:
            self._manager.resize(self.name, self._size.least)

    def _replaced(self) -> None:
        """The executable is another one."""
        hello = self.hello
        capabilities = (hello.capabilities if hello is not None else None) or {}
        if Capabilities.from_fields(capabilities).shared:
            log.info("pool %s: its executable was replaced", self.name)
            self._manager.rolling_restart(self.name)
        else:
            # What such a process holds may be nowhere else.
            log.warning(
                "pool %s: its executable was replaced; the driver does not share its "
                "state, so the new one is used when the driver is created anew",
                self.name,
            )

    def _turned_away(self, notice: TurnedAway) -> None:
        """Before any is ready, it can only be the first process: let it end, since
        what it says of this is worth knowing."""
        log.warning("pool %s: a process was refused: %s", self.name, notice.detail)
        if self.hello is None and self._refusal is None:
            self._refusal = notice
            for status in self._manager.status():
                self._manager.replace(status.child, notice.detail, REFUSED_GRACE_S)

    def _early_end(self, notice: ChildEnded) -> StorageError:
        """Why the first process did not become ready."""
        refusal = self._refusal
        if refusal is not None:
            cls = _BY_REASON.get(refusal.reason, UnavailableError)
            what = refusal.detail + notice.ending.last_lines()
            return cls(f"{self._spec.argv[0]}: {what}", executed=Executed.NO)
        cls = _BY_CODE.get(notice.ending.code, UnavailableError)
        if notice.ending.error is not None:
            cls = InvalidStorageDriverError
        return cls(f"{self._spec.argv[0]} {notice.detail}", executed=Executed.NO)

    def _fail(self, error: StorageError) -> None:
        with self._changed:
            if self.failure is None:
                self.failure = error
            self._changed.notify_all()
        self.on_gave_up(error)

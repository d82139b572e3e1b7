"""The children of one driver, their broker, and where they live, ended as one.

A `Household` is what has to be ended; a `LocalTransport` is what operations hold of it.
When nobody holds the transport any more, the household ends by itself.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..broker.messages import Hello
from ..broker.settings import BrokerSettings
from ..drivers.errors import (
    InvalidStateError,
    PoisonRequestError,
    StorageError,
    UnavailableError,
    WorkerLostError,
)
from ..workers.elastic import PoolLoad, PoolSize
from ..workers.executable import executable_spec
from ..workers.health import Condition
from .calllanes import CallLane, LanePool
from .childpool import SERVICE, ChildPool
from .context import Context, context
from .engine import Engine, acquire, relinquish
from .handles import Handle
from .local import LocalBroker
from .requests import Request
from .waiting import Blocking

GRACE_S = 10.0
"""What a child that is to end has for the calls that it runs."""
ENDING_WAIT_S = 0.1
"""How long an error waits for word of how its process ended."""
RUNTIME_PARENT = "/tmp"
"""Where sockets lie: their paths must be short, and TMPDIR's may be long."""

log = logging.getLogger("storagebus.client")
_T = TypeVar("_T")


class Household:
    """A broker core in the I/O thread, and a pool of processes that serve it.

    Args:
        name: the driver's.
        executable: path of its executable.
        parameters: the driver's own.
        size: of the pool.
        start_timeout_s: seconds that a child has until it must be ready.

    Attributes:
        service: what the children serve.
        pool: the children.
        hello: what the first of them says of itself.
        owner: the process that it belongs to.
        engine, connection: the way to the broker core.

    Raises:
        StorageError: the first child does not become ready. Nothing is left then.
    """

    service = SERVICE

    def __init__(
        self,
        name: str,
        executable: str,
        parameters: Mapping[str, Any],
        size: PoolSize,
        start_timeout_s: float,
    ) -> None:
        self.owner = os.getpid()
        self._name = name
        self._lock = threading.Lock()
        self._ended = False
        self._held: weakref.ref[LocalTransport] | None = None
        directory = tempfile.mkdtemp(prefix="storagebus-", dir=RUNTIME_PARENT)
        self._directory = Path(directory)
        self._endpoints = (directory,)
        try:
            door = f"ipc://{directory}/workers"
            spec = executable_spec(
                name,
                parameters,
                endpoints=(door,),
                service=SERVICE,
                executable=executable,
                slots=size.slots,
                start_timeout_s=start_timeout_s,
                grace_s=GRACE_S,
            )
            settings = BrokerSettings(
                (),
                (door,),
                broker_id=f"in process {self.owner}",
                services=(SERVICE,),
            )
            self.pool = ChildPool(spec, size, directory)
            self._open(settings)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        try:
            self.hello: Hello = self.pool.start()
        except BaseException:
            self.end(grace_s=0)
            raise

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended

    def held_by(self, transport: LocalTransport) -> None:
        """From now on it ends when nobody uses that transport any more."""
        self._held = weakref.ref(transport)

    def end(self, grace_s: float | None = None) -> None:
        """Let the children finish, and end all. Harmless when repeated.

        Args:
            grace_s: seconds that they have; None for `GRACE_S`.
        """
        if os.getpid() != self.owner:
            return
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self.pool.stop(grace_s)
        relinquish(self.engine, self._endpoints)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _open(self, settings: BrokerSettings) -> None:
        pool = self.pool
        broker = LocalBroker(context(), settings, pool.admit, pool.on_notice)

        def open_link(context: Context, endpoint: str) -> LocalBroker:
            return broker

        self.engine: Engine
        self.engine, self.connection = acquire(self._endpoints, open_link)
        self._broker = broker
        broker.on_beat = self._on_beat
        pool.on_gave_up = self._on_gave_up
        pool.on_ended = self._on_ended

    def _on_beat(self, conditions: Mapping[bytes, Condition], load: PoolLoad) -> None:
        if self._ended:
            return
        if self._held is None or self._held() is not None:
            self.pool.on_beat(conditions, load)
            return
        log.warning("driver %s was not closed; its processes end now", self._name)
        # Not in the I/O thread, through which the children finish their work.
        threading.Thread(target=self.end, name="storagebus-end", daemon=True).start()
        self._held = None

    def _on_ended(self, cookie: str, crashed: bool) -> None:
        """A child has ended: a call that ends child after child is found out so."""
        try:
            self.engine.post(self._broker.ended, cookie, crashed)
        except InvalidStateError:
            log.debug("a child has ended after its broker")

    def _on_gave_up(self, error: StorageError) -> None:
        """The children die again and again: what waits for one ends now."""
        try:
            self.engine.post(self._broker.refuse_waiting, SERVICE, error)
        except InvalidStateError:
            log.debug("closed before the children were given up")


class LocalTransport(Blocking):
    """The way to the children: always by the I/O thread, which runs their broker.

    Args:
        household: theirs.
    """

    def __init__(self, household: Household) -> None:
        self._household = household
        self._lanes = LanePool(CallLane)
        household.held_by(self)

    async def explain(self, error: StorageError) -> None:
        """Part of `Transport`: say how the process ended that had the call."""
        if isinstance(error, WorkerLostError):
            ending = self._household.pool.ending(error.detail, ENDING_WAIT_S)
            if ending and ending not in error.detail:
                error.detail = f"{error.detail}: its process {ending}"
        elif isinstance(error, PoisonRequestError):
            error.detail += f"; the last one {self._household.pool.last_ending}"

    @property
    def call_lanes(self) -> LanePool | None:
        """Part of `Transport`."""
        household = self._household
        if os.getpid() != household.owner or household.has_ended:
            return None
        return self._lanes

    def begin(self, request: Request, *, brief: bool) -> Handle:
        """Part of `Transport`."""
        household = self._household
        if os.getpid() != household.owner:
            raise InvalidStateError(
                f"these child processes belong to process {household.owner}, from "
                "which this one was forked; create the driver anew"
            )
        if household.has_ended:
            raise InvalidStateError("the driver is closed")
        failure = household.pool.failure
        if failure is not None:
            raise UnavailableError(failure.detail, temporary=False)
        return household.engine.begin(household.connection, request)

    def close(self) -> None:
        """Part of `Transport`."""
        self._lanes.close()
        self._household.end()

"""Managed children: a driver's executable as a driver of this process.

`create("acme", ...)` comes here when nothing in Python has that name. The executable
`registry-storage-acme` is run as a pool of child processes behind a broker core in
this process's I/O thread (`local`); the driver that is returned is a client of it.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..broker.settings import BrokerSettings
from ..drivers.checked import Checked
from ..drivers.errors import InvalidStateError, StorageError, UnavailableError
from ..workers.children import START_TIMEOUT_S
from ..workers.elastic import PoolSize
from ..workers.executable import executable_spec, find_executable
from .childpool import SERVICE, ChildPool
from .context import Context, context
from .driver import BusDriver
from .engine import Engine, acquire, relinquish
from .handles import Handle
from .local import LocalBroker
from .requests import Request

DEADLINE_S = 30.0
GRACE_S = 10.0
"""What a child that is to end has for the calls that it runs."""
READY_MARGIN_S = 2.0
RUNTIME_PARENT = "/tmp"
"""Where sockets lie: their paths must be short, and TMPDIR's may be long."""

log = logging.getLogger("storagebus.client")


def create(
    name: str, parameters: Mapping[str, Any], pool: Mapping[str, int] | None
) -> ChildDriver | None:
    """The fallback of `drivers.create`.

    Args:
        name: the driver's.
        parameters: the driver's own.
        pool: `{"workers": n, "slots": m}`, or with `min` and `max` for a pool that
            grows and shrinks; None for two processes, or one of a driver that cannot
            share its state.

    Returns:
        The driver, its first process ready; None without such an executable.

    Raises:
        StorageError: the executable did not become ready; says why, with its last
            lines. No process is left then.
    """
    size = PoolSize.of(pool)
    executable = find_executable(name)
    if executable is None:
        return None
    return ChildDriver(name, executable, parameters, size)


class ChildDriver(Checked):
    """A driver whose calls are run by child processes.

    Args:
        name: the driver's.
        executable: path of its executable.
        parameters: the driver's own; secrets do not get onto the command line.
        size: of the pool.
        deadline: seconds that a call may take, retries included.
        start_timeout_s: seconds that a child has until it must be ready.
    """

    def __init__(
        self,
        name: str,
        executable: str,
        parameters: Mapping[str, Any],
        size: PoolSize,
        deadline: float = DEADLINE_S,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._name = name
        directory = Path(tempfile.mkdtemp(prefix="storagebus-", dir=RUNTIME_PARENT))
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
        self.pool = ChildPool(spec, size, executable)
        settings = BrokerSettings(
            (), (door,), broker_id=f"in process {os.getpid()}", services=(SERVICE,)
        )
        self._transport = LocalTransport(settings, self.pool, directory)
        self._bus = BusDriver(self._transport, SERVICE, deadline)
        super().__init__(self._bus)
        try:
            self.pool.start(start_timeout_s + READY_MARGIN_S)
            _ = self._bus.capabilities  # its name and abilities are known from here on
        except BaseException:
            self.pool.stop(grace_s=0)
            self._transport.close()
            raise

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._name

    @property
    def _label(self) -> str:
        return self._name

    def close(self) -> None:
        """Let the children finish and end them. Harmless when repeated."""
        if self._transport.is_ours:
            self.pool.stop()
        self._transport.close()

    def _walk_key(self, start_after: str) -> str:
        """Resolved by the worker, without a call of its own."""
        return start_after


class LocalTransport:
    """The way to the children: always by the I/O thread, which runs their broker.

    Args:
        settings: of the broker core.
        pool: the children.
        directory: where their door is; removed at the end.
    """

    def __init__(
        self, settings: BrokerSettings, pool: ChildPool, directory: Path
    ) -> None:
        self._owner = os.getpid()
        self._pool = pool
        self._directory = directory
        self._closed = False
        self._lock = threading.Lock()
        self._endpoints = (str(directory),)
        try:
            broker = LocalBroker(context(), settings, pool.admit, pool.on_notice)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

        def open_link(context: Context, endpoint: str) -> LocalBroker:
            return broker

        self._engine: Engine
        self._engine, self._connection = acquire(self._endpoints, open_link)
        broker.on_beat = pool.on_beat
        pool.on_gave_up = self._give_up
        self._broker = broker

    @property
    def is_ours(self) -> bool:
        """Whether this process started the children."""
        return os.getpid() == self._owner

    def now(self) -> float:
        """Part of `Transport`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Part of `Transport`: block the calling thread."""
        time.sleep(seconds)

    def begin(self, request: Request, *, brief: bool) -> Handle:
        """Part of `Transport`."""
        if not self.is_ours:
            raise InvalidStateError(
                f"these child processes belong to process {self._owner}, from which "
                "this one was forked; create the driver anew"
            )
        if self._closed:
            raise InvalidStateError("the driver is closed")
        if self._pool.failure is not None:
            raise UnavailableError(self._pool.failure.detail, temporary=False)
        return self._engine.begin(self._connection, request)

    def close(self) -> None:
        """Part of `Transport`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self.is_ours:
            relinquish(self._engine, self._endpoints)
            shutil.rmtree(self._directory, ignore_errors=True)

    def _give_up(self, error: StorageError) -> None:
        """The children die again and again: what waits for one ends now."""
        try:
            self._engine.post(self._broker.refuse_waiting, SERVICE, error)
        except InvalidStateError:
            log.debug("closed before the children were given up")

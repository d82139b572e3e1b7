"""The synchronous client: a service of the bus as a storage driver."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..broker.addresses import check_addresses
from ..drivers.checked import Checked
from ..drivers.errors import ProtocolError, StorageError
from .driver import FALLBACK_NAME, BusDriver
from .operations import Operations
from .transport import BusTransport
from .waiting import run_now

DEADLINE_S = 30.0


class Client(Checked):
    """A storage driver that lives behind a broker.

    Safe to use from several threads. Clients of one process share a connection and
    a thread; a forked child makes its own with its first call. Nothing is connected
    before the first call, so that a client can be made before the broker runs.

    Args:
        endpoint: the broker's address for clients, or several brokers' that serve the
            same services: one of this host if there is any, else one by chance, and
            another as soon as that one does not answer.
        service: the name of the service.
        deadline: seconds that a call may take, with all its tries on whatever workers
            and brokers. One that moves bytes, or takes long and shows that it moves on,
            begins them anew whenever it gets further than ever; what is sent again
            after a loss is none of that. A large `put_content` that has failed may
            take 0.5 s more to drop what it left behind.

    Raises:
        InvalidParameterError: an argument makes no sense; nothing was connected.
    """

    def __init__(
        self,
        endpoint: str | Sequence[str],
        service: str = "default",
        deadline: float = DEADLINE_S,
    ) -> None:
        self._transport = BusTransport(check_addresses(endpoint))
        self._bus = BusDriver(self._transport, service, deadline)
        super().__init__(self._bus)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process (`multiprocessing` with "spawn") connects anew."""
        return Client, (self._transport.endpoints, self.service, self.deadline)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the driver behind the bus; "bus" while it cannot be reached."""
        try:
            return run_now(self._operations.describe()).driver or FALLBACK_NAME
        except StorageError:
            return FALLBACK_NAME

    @property
    def service(self) -> str:
        """The name of the service."""
        return self._operations.service

    @property
    def deadline(self) -> float:
        """Seconds that a call may take."""
        return self._operations.deadline

    def bus_status(self) -> dict[str, Any]:
        """The broker's report on itself and all its services.

        Raises:
            StorageError: no broker answered.
        """
        try:
            status = json.loads(run_now(self._operations.bus_status()))
        except ValueError as error:
            raise ProtocolError(f"the broker's status is no JSON: {error}") from error
        if not isinstance(status, dict):
            raise ProtocolError("the broker's status is no JSON object")
        return status

    def drain(self, worker: str) -> None:
        """Have the broker give a worker no more work, and end it.

        Args:
            worker: its id, as in `bus_status`.

        Raises:
            StorageError: there is no such worker, or no broker answered.
        """
        run_now(self._operations.drain(worker))

    def report_ending(self, cookie: str, *, crashed: bool) -> None:
        """Tell the broker how a worker's process ended, so that it finds out which
        call ends worker after worker.

        Args:
            cookie: of the process (PROTOCOL.md section 10).
            crashed: whether by a fault of its own, and not a signal from outside.

        Raises:
            StorageError: no broker answered.
        """
        run_now(self._operations.report_ending(cookie, crashed))

    @property
    def _operations(self) -> Operations:
        return self._bus.operations

    def _walk_key(self, start_after: str) -> str:
        """Resolved by the worker, without a call of its own."""
        return start_after

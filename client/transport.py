"""How the synchronous client reaches its brokers: by a channel, or the I/O thread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from ..drivers.errors import InvalidStateError, StorageError
from .brokers import in_order
from .calllanes import CallLane, LanePool
from .channels import ChannelPool
from .connection import Connection
from .engine import Engine, acquire, relinquish
from .handles import Handle
from .permission import check_permission
from .requests import Request
from .waiting import Blocking

NOTICED_S = 0.005
"""Time from which on it counts what a channel's greeting has taken."""

_T = TypeVar("_T")
_seed = os.urandom(16)


def process_seed() -> bytes:
    """What makes the choices of this process differ from those of others."""
    return _seed + os.getpid().to_bytes(8)


class _Link(NamedTuple):
    engine: Engine
    connection: Connection
    pool: ChannelPool
    call_lanes: LanePool


class BusTransport(Blocking):
    """The way to some brokers; safe to use from several threads, and after a fork.

    Args:
        endpoints: checked addresses; see `in_order` for which one is used.
    """

    def __init__(self, endpoints: Sequence[str]) -> None:
        self.endpoints = tuple(endpoints)
        # By engine, as a forked child has another; entries are made by `setdefault`,
        # which two threads may call at once, and a fork finds in no odd state.
        self._links: dict[Engine, _Link] = {}
        self._link: _Link | None = None
        self._closed = False

    async def explain(self, error: StorageError) -> None:
        """Part of `Transport`: a broker has said all that is known."""

    @property
    def call_lanes(self) -> LanePool | None:
        """Part of `Transport`: without a broker that answers, nobody says who has
        time."""
        link = self._ensure()
        return link.call_lanes if link.connection.core.is_open else None

    def begin(self, request: Request, *, brief: bool) -> Handle:
        """Part of `Transport`.

        The I/O thread's session says which broker answers; as long as none does,
        operations wait there, where any of the brokers can take them.
        """
        engine, connection, pool, _ = self._ensure()
        core = connection.core
        if brief and core.is_open:
            began = self.now()
            channel = pool.lease(core.current, request.budget_s)
            spent_s = self.now() - began
            if spent_s > NOTICED_S:
                left_s = max(NOTICED_S, request.budget_s - spent_s)
                request = request._replace(budget_s=left_s)
            if channel is not None:
                return channel.begin(request)
        return engine.begin(connection, request)

    def close(self) -> None:
        """Leave the brokers. Harmless when repeated."""
        self._closed = True
        self._link = None
        while self._links:
            engine, link = self._links.popitem()
            if engine.usable:
                link.pool.close()
            link.call_lanes.close()
            relinquish(engine, link.connection.endpoints)

    def _ensure(self) -> _Link:
        link = self._link
        if link is not None and link.engine.usable:
            return link
        if self._closed:
            raise InvalidStateError("the client is closed")
        check_permission(self.endpoints)
        endpoints = in_order(self.endpoints, process_seed())
        engine, connection = acquire(endpoints)

        def doubt(endpoint: str) -> None:
            try:
                engine.post(connection.doubt, endpoint)
            except InvalidStateError:
                pass  # the client is closed meanwhile

        channels = ChannelPool(len(endpoints) > 1, doubt)
        made = _Link(engine, connection, channels, LanePool(CallLane))
        link = self._links.setdefault(engine, made)
        if link is not made:
            relinquish(engine, endpoints)  # another thread was faster
        self._link = link
        return link

"""Call lanes of the client for asyncio: the event loop watches them."""

from __future__ import annotations

import asyncio
import socket
import time

from ..broker.lanes import WORD
from ..broker.packets import PACKET_BYTES_MAX
from ..broker.wire import Message, Payload
from .calllanes import MARGIN_S, PATIENCE_S, answer_in, opening, send

SWEEP_S = 0.25
"""How late a call that gets no answer is noticed."""


class LoopLanes:
    """The lanes of one event loop that wait for an answer.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: dict[LoopLane, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def make(self, connection: socket.socket) -> LoopLane:
        """A lane of a connection."""
        return LoopLane(self, connection)

    def wait_for(self, lane: LoopLane) -> None:
        """Watch that a lane does not wait too long."""
        self._waiting[lane] = time.monotonic() + PATIENCE_S + MARGIN_S
        if self._timer is None:
            self._timer = self.loop.call_later(SWEEP_S, self._sweep)

    def answered(self, lane: LoopLane) -> None:
        """A lane does not wait any more."""
        self._waiting.pop(lane, None)

    def _sweep(self) -> None:
        """In the order in which they began to wait, all for the same time."""
        self._timer = None
        now = time.monotonic()
        while self._waiting:
            lane, expires = next(iter(self._waiting.items()))
            if now < expires:
                self._timer = self.loop.call_later(SWEEP_S, self._sweep)
                return
            lane.close()


class LoopLane:
    """A lane whose calls tasks wait for.

    Args:
        lanes: all of its loop.
        connection: it has said its token.
    """

    def __init__(self, lanes: LoopLanes, connection: socket.socket) -> None:
        self.born = time.monotonic()
        self.closed = False
        self._lanes = lanes
        self._socket = connection
        self._calls = 0
        self._waiter: asyncio.Future[bytes] | None = None
        lanes.loop.add_reader(connection, self._take)

    async def ask(
        self, operation: int, fields: bytes, payload: Payload
    ) -> Message | None:
        """Part of `Lane`."""
        self._calls += 1
        number = self._calls
        try:
            send(self._socket, opening(number, operation, fields, payload))
        except OSError:
            self.close()
            return None
        waiter = self._waiter = self._lanes.loop.create_future()
        self._lanes.wait_for(self)
        try:
            packet = await waiter
        except BaseException:
            self.close()
            raise
        answer = answer_in(packet, number)
        if answer is None:
            self.close()
        return answer

    def close(self) -> None:
        """Part of `Lane`; also when its worker has closed it."""
        if self.closed:
            return
        self.closed = True
        if not self._lanes.loop.is_closed():
            self._lanes.loop.remove_reader(self._socket)
        self._socket.close()
        self._tell(b"")

    def _take(self) -> None:
        """The worker has sent something, or has closed the lane."""
        try:
            packet = self._socket.recv(PACKET_BYTES_MAX + 1)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet == WORD and self._calls <= 1:
            return
        if self._waiter is None:
            self.close()  # nothing was asked
        else:
            self._tell(packet)

    def _tell(self, packet: bytes) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._lanes.answered(self)
            if not waiter.done():
                waiter.set_result(packet)

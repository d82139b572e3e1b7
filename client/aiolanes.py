"""Call lanes of the client for asyncio: the event loop watches them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque

from ..broker.lanes import WORD, Descriptor
from ..broker.wire import Payload
from .calllanes import (
    MARGIN_S,
    PATIENCE_S,
    Answer,
    Lane,
    LanePool,
    LaneSocket,
    answer_in,
    receive,
)

_Packet = tuple[bytes, Descriptor | None]
QUEUE_LANES_MIN = 16
"""Lanes from which on a call waits for one of them; below, the bus brings another."""
QUEUE_CALLS_MAX = 10_000
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


class LoopLanePool(LanePool):
    """The call lanes of a client on an event loop: where there are many already, a call
    waits for one of them to be free, which takes less than the bus does.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(LoopLanes(loop).make)
        self._loop = loop
        self._queue: deque[asyncio.Future[Lane | None]] = deque()

    async def lane(self, operation: int, now: float) -> Lane | None:
        """As `lease`; waits for as long as a call in a lane may take."""
        skipped = self.is_skipped(operation)
        lane = self.lease(operation, now)
        if lane is not None or skipped or not self._is_worth_a_wait(operation, now):
            return lane
        turn: asyncio.Future[Lane | None] = self._loop.create_future()
        self._queue.append(turn)
        try:
            return await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                lane = turn.result()
                if lane is not None:
                    self.give_back(lane)
            raise

    def give_back(self, lane: Lane) -> None:
        """A call is over: who has waited longest is next."""
        turn = self._next()
        if turn is None:
            super().give_back(lane)
        elif lane.is_good(time.monotonic()):
            turn.set_result(lane)
        else:
            turn.set_result(None)
            super().give_back(lane)

    def close(self) -> None:
        """Close the free lanes; who waits for one goes without."""
        super().close()
        while (turn := self._next()) is not None:
            turn.set_result(None)

    def _is_worth_a_wait(self, operation: int, now: float) -> bool:
        busy = self.count >= QUEUE_LANES_MIN and len(self._queue) < QUEUE_CALLS_MAX
        return busy and self.is_welcome(operation, now)

    def _next(self) -> asyncio.Future[Lane | None] | None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                return turn
        return None


class LoopLane(LaneSocket):
    """A lane whose calls tasks wait for.

    Args:
        lanes: all of its loop.
        connection: it has said its token.
    """

    def __init__(self, lanes: LoopLanes, connection: socket.socket) -> None:
        super().__init__(connection)
        self._lanes = lanes
        self._takes_file = False
        self._waiter: asyncio.Future[_Packet] | None = None
        lanes.loop.add_reader(connection, self._take)

    async def ask(
        self, operation: int, fields: bytes, payload: Payload, takes_file: bool
    ) -> Answer | None:
        """Part of `Lane`."""
        self._takes_file = takes_file
        try:
            number = self._send(operation, fields, payload)
        except OSError:
            self.close()
            return None
        waiter = self._waiter = self._lanes.loop.create_future()
        self._lanes.wait_for(self)
        try:
            packet, file = await waiter
        except BaseException:
            self.close()
            raise
        answer = answer_in(packet, number, file)
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
        self._tell((b"", None))

    def _take(self) -> None:
        """The worker has sent something, or has closed the lane."""
        try:
            packet, file = receive(self._socket, self._takes_file)
        except BlockingIOError:
            return
        except OSError:
            packet, file = b"", None
        if packet == WORD and self._calls <= 1:
            return
        if self._waiter is None:
            self.close()  # nothing was asked
        else:
            self._tell((packet, file))

    def _tell(self, packet: _Packet) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._lanes.answered(self)
            if not waiter.done():
                waiter.set_result(packet)

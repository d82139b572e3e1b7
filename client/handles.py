"""One operation as its caller sees it, whoever drives its connection.

The methods that wait are coroutines, see `waiting`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from ..broker.bell import Bell
from ..broker.memorylane import MemoryLane
from ..broker.messages import Accepted, Result
from ..broker.wire import Payload, Type
from ..drivers.errors import CancelledError, ProtocolError
from .connection import Connection
from .laneend import LaneEnd
from .requests import (
    Accepting,
    Arrived,
    Event,
    Failed,
    Finished,
    InLane,
    Moved,
    Request,
    Sent,
)
from .waiting import Port, Signal

REPORT_BYTES = 262_144
"""Consumed bytes after which the core is told at the earliest although more have
arrived."""
REPORT_PART = 4
"""The part of the window after which it is."""
SEND_AHEAD_BYTES_MAX = 1_048_576
"""Bytes of an upload that may wait here for credit before `write` waits."""
STALL_S = 0.25
"""How long the other end of a lane may be silent before that counts as waiting."""

_T = TypeVar("_T")


class Handle:
    """An operation under way.

    Args:
        port: the way to the owner of the connection.
        connection: that connection.
        signal: how to wait.
        request: what to do.

    Attributes:
        sent: bytes of an upload that have left.
        moved_at: when it last got further than ever, on the connection's clock; 0 when
            it has not yet. Of downloads their pieces say it.
    """

    __slots__ = (
        "_accepted",
        "_connection",
        "_durable",
        "_end",
        "_heard",
        "_lane",
        "_limit",
        "_mark",
        "_pieces",
        "_port",
        "_posted",
        "_released",
        "_report_bytes",
        "_signal",
        "_stalled",
        "_unreported",
        "moved_at",
        "sent",
    )

    def __init__(
        self, port: Port, connection: Connection, signal: Signal, request: Request
    ) -> None:
        self._port = port
        self._connection = connection
        self._signal = signal
        self._accepted: Accepted | None = None
        self._pieces: deque[Payload | InLane] = deque()
        self._lane: LaneEnd | None = None
        self._stalled = False
        self._limit = 0
        self._end: Finished | Failed | None = None
        self._heard: list[Callable[[Result], None]] = []
        self._released = False
        self._posted = 0
        self._unreported = 0
        self._report_bytes = max(REPORT_BYTES, request.window // REPORT_PART)
        self._durable = 0
        self._mark = request.mark
        self.moved_at = 0.0
        self.sent = 0
        port.post(connection.open, self, request)

    @property
    def durable(self) -> int:
        """Bytes of an upload that survive the worker, as far as it has told."""
        lane = self._lane
        if lane is None:
            return self._durable
        lane.bell.heard()  # nobody else listens while nothing is written
        return max(self._durable, lane.bell.durable)

    # Called by the owner of the connection

    def take(self, event: Event) -> None:
        """Take an event."""
        if type(event) is Arrived:
            self._pieces.append(event.payload)
        elif type(event) is InLane:
            self._pieces.append(event)
        elif type(event) is Sent:
            self.sent = event.sent
            self._limit = event.limit
            self._durable = event.durable
            self.moved_at = max(self.moved_at, event.moved_at)
        elif type(event) is Accepting:
            self._accepted = event.accepted
            self._durable = event.accepted.durable
        elif type(event) is Moved:
            self.moved_at = event.at
        elif isinstance(event, (Finished, Failed)):
            self._end = event
            lane = self._lane
            if lane is not None:
                lane.bell.interrupt()
            self._say()

    def wake(self) -> None:
        """There was news: have the caller look."""
        self._signal.set()

    # Called by the caller

    @property
    def ended(self) -> bool:
        """Whether the operation has finished or failed."""
        return self._end is not None

    @property
    def result(self) -> Result | None:
        """What the operation ended with, if it has ended well."""
        return self._end.result if type(self._end) is Finished else None

    async def opened(self) -> Accepted | None:
        """Wait until the stream is open; None when it has ended instead.

        Raises:
            StorageError: it failed.
        """
        while self._accepted is None and self._end is None:
            await self._signal.wait()
        if self._accepted is None and type(self._end) is Failed:
            raise self._end.error
        return self._accepted

    async def finish(self) -> Finished:
        """Wait for the end.

        Raises:
            StorageError: it failed.
        """
        while self._end is None:
            await self._signal.wait()
        if type(self._end) is Failed:
            raise self._end.error
        assert type(self._end) is Finished
        return self._end

    @property
    def posted(self) -> int:
        """Bytes of an upload that were handed to `write`."""
        return self._posted

    @property
    def reached(self) -> int:
        """How far an upload is, earlier sessions included; -1 until it is open."""
        if self._accepted is None:
            return -1
        in_lane = self._lane is not None and self._lane.in_use
        return self._accepted.size + (self._posted if in_lane else self.sent)

    def relax(self) -> None:
        """The caller waits no more until an upload is as far as it was."""
        if self._mark >= 0:
            self._mark = -1
            self._port.post(self._connection.relax, self)

    @property
    def has_lane(self) -> bool:
        """Whether payloads may lie in a lane, and be good for a moment only."""
        return self._lane is not None

    def adopt(self, lane: MemoryLane) -> None:
        """Use this lane from now on; it was fetched for this operation."""
        self._lane = LaneEnd(lane)

    async def piece(self) -> Payload | None:
        """The next bytes of a download; None at its end.

        What lies in a lane may be looked at until the next call.

        Raises:
            StorageError: it failed; what had arrived before was returned before.
        """
        while True:
            lane = self._lane
            if lane is not None and lane.in_use:
                return await self._piece_of_lane(lane)
            while not self._pieces:
                if self._end is not None:
                    await self.finish()
                    return None
                if self._unreported:
                    self._report()
                    continue  # as the port may have told of what comes next
                await self._signal.wait()
            piece = self._pieces.popleft()
            if not isinstance(piece, InLane):
                self._consumed(len(piece))
                return piece
            if lane is None:
                raise ProtocolError("DATA in a lane that was not taken")
            lane.begin(piece.offset, piece.size)

    async def _piece_of_lane(self, lane: LaneEnd) -> memoryview | None:
        lane.give_back(more=self._end is None)
        await self._breathe(lane)
        while True:
            end = self._end
            piece = lane.piece(end.size if type(end) is Finished else None)
            if piece is not None:
                self._move_on()
                return piece
            if end is not None:
                await self.finish()
                return None
            await self._listen(lane.bell)

    async def _listen(self, bell: Bell) -> None:
        """Wait for the other end of the lane, or for the end."""
        if bell.is_cut:
            self._stall()
            await self._signal.wait()  # the broker has the last word
            return
        await self._signal.hear(bell, STALL_S)
        if not bell.heard() and self._end is None:
            self._stall()

    def _stall(self) -> None:
        if not self._stalled:
            self._stalled = True
            self._port.post(self._connection.stall, self)

    def _move_on(self) -> None:
        if self._stalled:
            self._stalled = False
            self._port.post(self._connection.move_on, self)

    async def _breathe(self, lane: LaneEnd) -> None:
        if lane.is_out_of_breath():
            await self._signal.hear(lane.bell, 0)

    def _consumed(self, count: int) -> None:
        """Bytes were taken. The core is told of many at a time; and of all of them by
        who is about to wait, since from then on it is the worker that is waited for."""
        self._unreported += count
        if self._unreported >= self._report_bytes:
            self._report()

    def _report(self) -> None:
        count, self._unreported = self._unreported, 0
        if self._end is None:
            self._port.post(self._connection.consumed, self, count)

    async def write(self, data: Payload) -> None:
        """Send bytes of an upload; waits while too many are on their way already.

        Args:
            data: must not change any more.

        Raises:
            StorageError: the upload has ended.
        """
        if self._lane is not None:
            await self._write_lane(memoryview(data), self._lane)
        elif self._end is None:
            self._posted += len(data)
            self._port.post(self._connection.write, self, data)
            while self._posted - self.sent > SEND_AHEAD_BYTES_MAX and not self._end:
                await self._signal.wait()
        if self._end is not None:
            await self.finish()
            raise CancelledError("the worker ended the upload")

    async def _write_lane(self, data: memoryview, lane: LaneEnd) -> None:
        await self._breathe(lane)
        while data and self._end is None:
            count = lane.put(data, self._posted, self._limit)
            if count:
                self._move_on()
                self._posted += count
                data = data[count:]
                self._tell(lane, count)
            elif lane.in_use:
                await self._listen(lane.bell)
            else:
                self._port.post(self._connection.starve, self)
                await self._signal.wait()

    def _tell(self, lane: LaneEnd, count: int) -> None:
        """Say that so many bytes more lie in the lane."""
        if self.reached > self._mark:
            self.moved_at = self._connection.now()
            self.relax()
        if lane.in_use:
            lane.bell.ring(self._posted)
        else:
            lane.in_use = True
            self._port.post(self._connection.write_lane, self, count)

    def end(self, kind: Type, within_s: float) -> None:
        """End an upload with COMMIT, DETACH or CANCEL; `finish` waits for it, in the
        last case for so many seconds."""
        self._port.post(self._connection.end, self, kind, self._posted, within_s)

    def release(self) -> None:
        """Nobody wants this operation any more; a wait for it in another task or thread
        is cut short. Harmless when repeated."""
        if self._released:
            return
        self._released = True
        try:
            if self._end is None:
                self._port.post(self._connection.abandon, self)
        finally:
            if self._end is None:  # nor does who waits for it now get anything more
                self._end = Failed(CancelledError("the stream was closed meanwhile"))
                self._signal.set()
            self._pieces.clear()
            if self._lane is not None:
                self._signal.deafen()
                self._lane.close()
                self._lane = None
            self._port.release()

    def see_off(self, heard: Callable[[Result], None]) -> None:
        """As `release`, of an operation that is about to end by itself, and whose end
        is still of use.

        Args:
            heard: told of it, by the owner of the connection if it is still to come.
        """
        if self._released:
            return
        self._heard.append(heard)
        self._released = True
        if self._end is not None:
            self._say()
        self._pieces.clear()
        self._port.release()

    def _say(self) -> None:
        while self._heard:
            try:
                heard = self._heard.pop()
            except IndexError:
                return  # it was said by the other thread
            if type(self._end) is Finished:
                heard(self._end.result)


class Whole:
    """What came in one message, to be read as a handle's pieces are.

    Args:
        payload: all there is.
    """

    has_lane = False
    result = None

    def __init__(self, payload: Payload) -> None:
        self._payload: Payload | None = payload or None

    async def piece(self) -> Payload | None:
        """All of it, and then None."""
        payload, self._payload = self._payload, None
        return payload

    def release(self) -> None:
        """Nobody waits for it."""

    def see_off(self, heard: Callable[[Result], None]) -> None:
        """Part of what a handle has: there is nothing more to hear."""

"""The worker's side socket: descriptors for tokens (PROTOCOL.md section 9.1).

It never waits: the worker's loop polls one descriptor of it, and calls `pump`. What a
connection may cost is bounded in number and time, and what one asks for that it
should not have closes it and nothing else.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator

from ..broker.bell import Bell
from ..broker.lanes import (
    STEP_S_MAX,
    WORD,
    Descriptor,
    abstract_name,
    is_own_user,
    new_address,
)
from ..broker.memorylane import MemoryLane
from ..broker.messages import LANE_CALLS, TOKEN_BYTES
from ..broker.segment import Segment, make_segment
from .calllanes import CallLanes
from .lanes import Offer, Taken

CONNECTIONS_MAX = 64
CALL_OFFERS_MAX = 256
"""Offers of call lanes that stand at once: nothing ends them but being taken up, so the
oldest go."""
PAUSE_S = 1.0
"""How long nobody is admitted when the system had no descriptor for a visitor."""
_BACKLOG = 64
_EVENTS_MAX = 64


class LaneSegment(Segment):
    """A segment that counts against the bound of all, until it is closed."""

    __slots__ = ("_door",)

    def __init__(self, made: Segment, door: LaneDoor) -> None:
        super().__init__(made.memory)
        self._door: LaneDoor | None = door

    def close(self) -> None:
        door, self._door = self._door, None
        if door is not None:
            door.bytes_used -= self.size
            super().close()


class _Visitor:
    """A connection: shows a token, gets a descriptor, says that it has it."""

    __slots__ = ("expires", "offer", "segment", "socket")

    def __init__(self, connection: socket.socket, expires: float) -> None:
        self.socket = connection
        self.expires = expires
        self.offer: Offer | None = None
        self.segment: LaneSegment | None = None

    def take(self) -> Taken:
        """What the worker keeps; it is the stream's from now on."""
        segment, self.segment = self.segment, None
        return None if segment is None else MemoryLane(segment, Bell(self.socket))


class LaneDoor:
    """The socket, the offers that stand, and who is at the door.

    Args:
        bytes_max: what all segments may have together.

    Attributes:
        address: where it listens.
        bytes_used: what all segments have.
        calls: the connections that have become call lanes.

    Raises:
        OSError: the system refuses the socket.
    """

    def __init__(self, bytes_max: int) -> None:
        self.address = new_address()
        self.bytes_max = bytes_max
        self.bytes_used = 0
        self.calls = CallLanes()
        self._offers: dict[bytes, Offer] = {}
        self._call_offers: deque[bytes] = deque()
        self._visitors: dict[int, _Visitor] = {}
        self._admits_at: float | None = None
        self._poll = select.epoll()
        self._socket = socket.socket(socket.AF_UNIX, _KIND)
        try:
            self._socket.setblocking(False)
            name = abstract_name(self.address)
            assert name is not None
            self._socket.bind(name)
            self._socket.listen(_BACKLOG)
            self._poll.register(self._socket, select.EPOLLIN)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """What to poll for reading: whoever wants something at the door."""
        return self._poll.fileno()

    def offer(self, offer: Offer) -> None:
        """Hand this over to whoever shows its token."""
        self._offers[offer.token] = offer
        if offer.kind == LANE_CALLS:
            self._call_offers.append(offer.token)
            if len(self._call_offers) > CALL_OFFERS_MAX:
                self.withdraw(self._call_offers.popleft())

    def withdraw(self, token: bytes) -> None:
        """The offer stands no longer. Harmless when it is gone."""
        offer = self._offers.pop(token, None)
        if offer is not None and offer.file is not None:
            offer.file.close()

    def next_deadline(self) -> float | None:
        """When a visitor has been here too long, or the next is admitted."""
        due = [visitor.expires for visitor in self._visitors.values()]
        if self._admits_at is not None:
            due.append(self._admits_at)
        return min(due, default=None)

    def pump(self, now: float) -> Iterator[tuple[bytes, Taken]]:
        """Deal with who is at the door; the tokens whose lanes were taken, and what
        the worker keeps of them."""
        for fd, _ in self._poll.poll(0, _EVENTS_MAX):
            if fd == self._socket.fileno():
                self._admit(now)
                continue
            visitor = self._visitors.get(fd)
            if visitor is None:
                continue
            packet = _received(visitor.socket)
            if packet is None:
                continue
            if visitor.offer is None:
                # What the client sends by a lane may overtake its word: where it is
                # the sender, the lane is in use as soon as it has it.
                offer = self._serve(visitor, packet, now)
                if offer is not None and offer.writable:
                    yield offer.token, self._part(visitor)
            elif packet == WORD:
                yield visitor.offer.token, self._part(visitor)
            else:
                self._dismiss(visitor)
        for visitor in [v for v in self._visitors.values() if v.expires <= now]:
            self._dismiss(visitor)
        if self._admits_at is not None and now >= self._admits_at:
            self._admits_at = None
            self._poll.modify(self._socket, select.EPOLLIN)

    def close(self) -> None:
        """Close the door and all that stands at it."""
        for visitor in list(self._visitors.values()):
            self._dismiss(visitor)
        for token in list(self._offers):
            self.withdraw(token)
        self.calls.close()
        self._socket.close()
        self._poll.close()

    def _admit(self, now: float) -> None:
        for _ in range(_BACKLOG):
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError:
                # No descriptor left: who waits would wake the loop without end.
                self._admits_at = now + PAUSE_S
                self._poll.modify(self._socket, 0)
                return
            connection.setblocking(False)
            if len(self._visitors) >= CONNECTIONS_MAX or not is_own_user(connection):
                connection.close()
                continue
            visitor = _Visitor(connection, now + STEP_S_MAX)
            self._visitors[connection.fileno()] = visitor
            self._poll.register(connection, select.EPOLLIN)

    def _serve(self, visitor: _Visitor, token: bytes, now: float) -> Offer | None:
        """A token is shown, or what is none; returns what the visitor got."""
        offer = self._offers.pop(token, None)
        if offer is None:
            self._dismiss(visitor)
            return None
        if offer.kind == LANE_CALLS:
            self._open_lane(visitor, now)
            return None
        visitor.offer = offer
        try:
            file = offer.file or self._new_segment(visitor, offer)
            socket.send_fds(visitor.socket, [WORD], [file.fileno()])
        except OSError:
            self._dismiss(visitor)
            return None
        file.close()
        return offer

    def _open_lane(self, visitor: _Visitor, now: float) -> None:
        """The visitor may stay, and have its calls done."""
        connection = visitor.socket
        del self._visitors[connection.fileno()]
        self._poll.unregister(connection)
        try:
            connection.send(WORD, socket.MSG_NOSIGNAL)
        except OSError:
            connection.close()
        else:
            self.calls.admit(connection, now)

    def _new_segment(self, visitor: _Visitor, offer: Offer) -> Descriptor:
        if self.bytes_used + offer.size > self.bytes_max:
            raise OSError("no room for another lane")
        made, fd = make_segment(offer.size, writable=offer.writable)
        self.bytes_used += offer.size
        visitor.segment = LaneSegment(made, self)
        return Descriptor(fd)

    def _part(self, visitor: _Visitor) -> Taken:
        """The visitor has what it came for; its connection is the lane's bell."""
        lane = visitor.take()
        if lane is None:
            self._dismiss(visitor)
        else:
            self._poll.unregister(visitor.socket)
            del self._visitors[visitor.socket.fileno()]
        return lane

    def _dismiss(self, visitor: _Visitor) -> None:
        self._visitors.pop(visitor.socket.fileno(), None)
        visitor.socket.close()
        if visitor.segment is not None:
            visitor.segment.close()
        if visitor.offer is not None and visitor.offer.file is not None:
            visitor.offer.file.close()


_KIND = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC


def _received(connection: socket.socket) -> bytes | None:
    """The packet that has come, cut off if it is too long for a token; b"" at the
    end, None when there is none yet. Descriptors that come along the kernel closes."""
    try:
        return connection.recv(TOKEN_BYTES + 1)
    except BlockingIOError:
        return None
    except OSError:
        return b""

"""The worker's ends of its call lanes: connections with one call at a time each.

It never waits: the worker's loop polls one descriptor of it, and takes what has come.
A client that breaks the rules, or does not read its answer, loses its lane and nothing
else. PROTOCOL.md section 9.2.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator

from ..broker.lanes import Descriptor
from ..broker.packets import PACKET_BYTES_MAX, from_packet, to_packet
from ..broker.wire import Message
from ..drivers.errors import ProtocolError

LANES_MAX = 1_024
"""Lanes of one worker; who finds none goes by the broker."""
LANE_S_MAX = 30.0
"""How long a lane is kept; a client uses one for a third of that."""
BATCH_CALLS = 64
"""Calls taken before the brokers have their turn."""


class CallLanes:
    """All of a worker's call lanes."""

    def __init__(self) -> None:
        self._lanes: dict[int, socket.socket] = {}
        self._born: deque[tuple[float, socket.socket]] = deque()
        self._poll = select.epoll()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._lanes)

    def numbers(self) -> list[int]:
        """The numbers of all lanes."""
        return list(self._lanes)

    def fileno(self) -> int:
        """What to poll for reading: whoever has a call, or leaves."""
        return self._poll.fileno()

    def admit(self, connection: socket.socket, now: float) -> bool:
        """A connection becomes a lane; False when it cannot, and is closed."""
        if len(self._lanes) >= LANES_MAX:
            connection.close()
            return False
        try:
            self._poll.register(connection, select.EPOLLIN)
        except OSError:
            connection.close()  # the system watches as many as it may
            return False
        self._lanes[connection.fileno()] = connection
        self._born.append((now, connection))
        return True

    def aged(self, now: float) -> Iterator[int]:
        """The lanes that have been here too long; each is told once."""
        while self._born and self._born[0][0] <= now - LANE_S_MAX:
            lane = self._born.popleft()[1].fileno()
            if lane >= 0:
                yield lane

    def receive(self) -> Iterator[tuple[int, Message | ProtocolError | None]]:
        """What has come by which lane; None when it was closed.

        A descriptor is a lane's number. It can come back, but not before the loop has
        heard that the lane is gone.
        """
        for lane, _ in self._poll.poll(0, BATCH_CALLS):
            connection = self._lanes.get(lane)
            if connection is None:
                continue
            try:
                packet = connection.recv(PACKET_BYTES_MAX + 1)
            except BlockingIOError:
                continue
            except OSError:
                packet = b""
            if not packet:
                yield lane, None
                continue
            try:
                message = from_packet(packet)
            except ProtocolError as error:
                yield lane, error
            else:
                yield lane, message

    def send(self, lane: int, message: Message, file: Descriptor | None = None) -> bool:
        """Send an answer, and a descriptor with it, which this closes; False when the
        lane takes none, and is to be dropped."""
        connection = self._lanes.get(lane)
        if connection is None:
            return True
        parts = to_packet(message)
        try:
            if file is not None:
                socket.send_fds(connection, parts, [file.fileno()], socket.MSG_NOSIGNAL)
                file.close()
            elif len(parts) == 1:
                connection.send(parts[0], socket.MSG_NOSIGNAL)
            else:
                connection.sendmsg(parts, (), socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True

    def drop(self, lane: int) -> None:
        """Close a lane. Harmless when repeated."""
        connection = self._lanes.pop(lane, None)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close them all, and what polls them."""
        for lane in list(self._lanes):
            self.drop(lane)
        self._poll.close()

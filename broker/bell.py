"""The bell of a memory lane: how its two ends tell each other how far they are.

It is the connection by which the lane was fetched (PROTOCOL.md section 9.1). Every
packet says all that the ones before it said, so that whoever comes late looks at the
last one only.
"""

from __future__ import annotations

import select
import socket
import struct
import threading

STRIKES_MAX = 64
"""Packets taken at one look; what else there is waits for the next."""
_STRIKE = struct.Struct(">QQ")
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class Bell:
    """One end; belongs to one thread at a time, but for `interrupt`.

    Args:
        connection: of type SOCK_SEQPACKET; belongs to the bell from now on.

    Attributes:
        told: the mark that was rung last.
        mark: the highest that was heard: how far the sender is, or may go.
        durable: the same of what an upload's receiver has made durable.
        is_cut: whether nothing more will be heard.
    """

    __slots__ = ("_connection", "_lock", "_poll", "durable", "is_cut", "mark", "told")

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self.told = 0
        self.mark = 0
        self.durable = 0
        self.is_cut = False

    def fileno(self) -> int:
        """What to poll for reading; -1 when it is closed."""
        return self._connection.fileno()

    def ring(self, mark: int, durable: int = 0) -> None:
        """Tell the other end; never waits.

        Args:
            mark: how far this end is, or lets the other go, in bytes of the stream.
            durable: bytes of an upload that survive the worker.
        """
        self.told = mark
        try:
            self._connection.send(_STRIKE.pack(mark, durable), _FLAGS)
        except OSError:
            # The other end is gone, of which the broker tells; or it has left so many
            # unheard that there is no room, and is told with what follows.
            pass

    def heard(self) -> bool:
        """Take what has come; whether the mark has risen."""
        before = self.mark
        for _ in range(STRIKES_MAX):
            try:
                packet = self._connection.recv(_STRIKE.size + 1, _FLAGS)
            except BlockingIOError:
                break
            except OSError:
                packet = b""
            if not packet:
                self.is_cut = True
                break
            if len(packet) == _STRIKE.size:  # else the word that the lane was taken
                mark, durable = _STRIKE.unpack(packet)
                self.mark = max(self.mark, mark)
                self.durable = max(self.durable, durable)
        return self.mark > before

    def wait(self, seconds: float) -> bool:
        """Wait until something can be heard, or the bell is cut; False when not."""
        return bool(self._poll.poll(seconds * 1000))

    def interrupt(self) -> None:
        """End every wait at this end, now and later, for there is other news."""
        with self._lock:  # lest the number is another's by then
            try:
                self._connection.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # it is closed, or the other end is

    def close(self) -> None:
        """Let go of the connection. Harmless when repeated."""
        self.is_cut = True
        with self._lock:
            self._connection.close()

    def __del__(self) -> None:
        self._connection.close()

"""Work that waits for a worker: bounded, fair between clients, dropped when expired.

Pure. Calls, streams and suspects wait apart, since a worker has room for each apart;
within each, clients take turns, so that one with a thousand calls delays another by
one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from itertools import count

from .sessions import ClientSession, Line, Stream

STALE_MIN = 64
"""Deadlines of streams that have gone are not cleared out below this number."""


class Backlog:
    """The queue of one service.

    Args:
        calls_max: streams that may wait.
        bytes_max: bytes of their payloads.
    """

    def __init__(self, calls_max: int, bytes_max: int) -> None:
        self.calls_max = calls_max
        self.bytes_max = bytes_max
        self.bytes = 0
        # One line of clients for each kind; each client has its own queue there.
        self._lines: dict[Line, dict[ClientSession, deque[Stream]]] = {
            line: {} for line in Line
        }
        # Deadlines of streams that have gone stay in the heap until they come up. They
        # go by number, so that they keep no stream, and no payload, alive.
        self._deadlines: list[tuple[float, int]] = []
        self._numbers: dict[Stream, int] = {}
        self._waiting: dict[int, Stream] = {}
        self._count = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, stream: Stream, *, first: bool = False) -> bool:
        """Let a stream wait; False when there is no room.

        Args:
            stream: what waits.
            first: before all others of its client, since it has waited before.
        """
        size = _payload_bytes(stream)
        if len(self) >= self.calls_max or self.bytes + size > self.bytes_max:
            return False
        assert stream.client is not None
        queue = self._lines[stream.line].setdefault(stream.client, deque())
        if first:
            queue.appendleft(stream)
        else:
            queue.append(stream)
        number = next(self._count)
        self._numbers[stream] = number
        self._waiting[number] = stream
        self.bytes += size
        heapq.heappush(self._deadlines, (stream.expires, number))
        return True

    def head(self, line: Line) -> Stream | None:
        """The next stream in turn, which stays."""
        clients = self._lines[line]
        return next(iter(clients.values()))[0] if clients else None

    def take(self, kind: Line) -> Stream | None:
        """The next stream in turn."""
        line = self._lines[kind]
        if not line:
            return None
        client = next(iter(line))
        queue = line.pop(client)
        stream = queue.popleft()
        if queue:
            line[client] = queue  # to the end of the line
        self._forget(stream)
        return stream

    def remove(self, stream: Stream) -> bool:
        """Take one stream out; False when it does not wait here."""
        if stream not in self._numbers:
            return False
        assert stream.client is not None
        line = self._lines[stream.line]
        queue = line[stream.client]
        queue.remove(stream)
        if not queue:
            del line[stream.client]
        self._forget(stream)
        return True

    def expired(self, now: float) -> Iterator[Stream]:
        """Take out the streams whose time has come."""
        while self._deadlines and self._deadlines[0][0] <= now:
            stream = self._waiting.get(heapq.heappop(self._deadlines)[1])
            if stream is not None:
                self.remove(stream)
                yield stream

    def next_deadline(self) -> float | None:
        """When the next stream may expire; may be early, for one that has gone."""
        if not self._waiting:
            self._deadlines.clear()
        return self._deadlines[0][0] if self._deadlines else None

    def _forget(self, stream: Stream) -> None:
        del self._waiting[self._numbers.pop(stream)]
        self.bytes -= _payload_bytes(stream)
        if len(self._deadlines) > STALE_MIN + 4 * len(self):
            self._deadlines = [d for d in self._deadlines if d[1] in self._waiting]
            heapq.heapify(self._deadlines)


def _payload_bytes(stream: Stream) -> int:
    return len(stream.opened.payload)

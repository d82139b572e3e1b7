"""The bells of all lanes that no job looks after: who of them is heard.

A stream hears of its bell once, and asks again when it has done what there was to do.
While a job is at a lane it listens to the bell itself, and the loop sleeps.
"""

from __future__ import annotations

import select
from collections.abc import Iterator

from .actions import Listen
from .lanes import Taken
from .streams import Stream

BELLS_MAX = 64
"""Bells that are told at one look."""
_ONCE = select.EPOLLIN | select.EPOLLONESHOT


class Bells:
    """Belongs to the worker's loop."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._streams: dict[int, Stream] = {}

    def fileno(self) -> int:
        """What to poll for reading: whether any of them rings."""
        return self._poll.fileno()

    def listen(self, asked: Listen) -> None:
        """Tell once when the bell of a stream's lane rings, or is cut."""
        assert asked.lane is not None
        fd = asked.lane.bell.fileno()
        if fd in self._streams:
            self._poll.modify(fd, _ONCE)
        else:
            self._poll.register(fd, _ONCE)
            self._streams[fd] = asked.stream

    def let_go(self, lane: Taken) -> None:
        """Close a lane, and listen to its bell no more."""
        if lane is None:
            return
        fd = lane.bell.fileno()
        if self._streams.pop(fd, None) is not None:
            self._poll.unregister(fd)
        lane.close()

    def heard(self) -> Iterator[Stream]:
        """The streams whose bells ring."""
        for fd, _ in self._poll.poll(0, BELLS_MAX):
            stream = self._streams.get(fd)
            if stream is not None:
                yield stream

    def close(self) -> None:
        """Listen no more. Harmless when repeated."""
        self._streams.clear()
        self._poll.close()

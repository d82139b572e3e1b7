"""Channels: connections that an application's thread drives itself for one operation.

An operation that its caller stays with needs no other thread: handing it to the I/O
thread and back costs two wake-ups and a third of the client's work. So the caller
leases a connection of its own, polls it until the operation has ended, and gives it
back. An idle one costs no traffic.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import zmq

from ..broker.bell import Bell
from .connection import Connection, wait_ms
from .context import context
from .handles import Handle
from .requests import Request

CHANNELS_MAX = 2
"""Channels of one client; who finds none uses the I/O thread.

Measured with stat over a real bus on two busy cores: alone, a thread waits 430 us by
a channel and 540 us by the I/O thread, and costs 160 us and 235 us of work. But 32
threads make 6,600 calls/s by the I/O thread, 5,500 with 2 channels beside it and
3,600 with 16: it gathers what many threads want, and the broker finds the calls at
fewer peers. Two channels serve the program that does one thing at a time.
"""
IDLE_S_MAX = 60.0
GREETING_S_MAX = 1.0
"""A broker that has not welcomed a new channel by then is left to the I/O thread."""
GREETING_PART = 0.25
"""The same as a part of the time that the operation has."""
POLL_MS_MAX = 60_000


class Channel:
    """A connection to one broker, driven by the thread that leases it."""

    def __init__(self, pool: ChannelPool, endpoint: str) -> None:
        self.endpoint = endpoint
        self.idle_since = 0.0
        self._pool = pool
        self._connection = Connection(
            context(), (endpoint,), time.monotonic, impatient=pool.impatient
        )
        self._poller = zmq.Poller()
        for socket in self._connection.sockets:
            self._poller.register(socket, zmq.POLLIN)

    @property
    def is_doubtful(self) -> bool:
        """Whether the broker has left it without an answer."""
        return self._connection.core.brokers.current.suspect

    def greet(self, budget_s: float) -> bool:
        """Have a session; False when the broker does not answer soon.

        Args:
            budget_s: seconds that the operation has.
        """
        self._poll(0.0)  # what has happened while it was idle
        ends = time.monotonic() + min(GREETING_S_MAX, budget_s * GREETING_PART)
        while not self._connection.core.is_open:
            now = time.monotonic()
            if now >= ends:
                return False
            self._poll(min(ends, self._connection.next_deadline))
        return True

    def begin(self, request: Request) -> Handle:
        """Start an operation; the calling thread drives it by waiting for it."""
        return Handle(self, self._connection, self, request)

    # As the signal of its operation

    def set(self) -> None:
        """Nobody sleeps: the events are told by the very thread that waits."""

    async def wait(self) -> None:
        self._poll(self._connection.next_deadline)

    async def hear(self, bell: Bell, within_s: float) -> None:
        self._poller.register(bell, zmq.POLLIN)
        try:
            ends = time.monotonic() + within_s
            self._poll(min(ends, self._connection.next_deadline))
        finally:
            self._poller.unregister(bell)

    def deafen(self) -> None:
        """Nobody is waiting."""

    # As the port of its operation

    def post(self, action: Callable[..., None], *arguments: Any) -> None:
        action(*arguments)

    def release(self) -> None:
        self._pool.give_back(self)

    def close(self) -> None:
        """Close the sockets."""
        self._connection.close()

    def _poll(self, deadline: float) -> None:
        wait = wait_ms(deadline, time.monotonic(), POLL_MS_MAX)
        ready = dict(self._poller.poll(wait))
        self._connection.pump(ready.__contains__)


class ChannelPool:
    """The channels of one client.

    Args:
        impatient: whether there are several brokers, so that a silent one is left soon.
        on_doubt: told the address of a broker that gives no answer.
    """

    def __init__(self, impatient: bool, on_doubt: Callable[[str], None]) -> None:
        self.impatient = impatient
        self._on_doubt = on_doubt
        self._idle: deque[Channel] = deque()
        self._count = 0
        self._closed = False

    def lease(self, endpoint: str, budget_s: float) -> Channel | None:
        """A channel to this broker, or None when there are enough, or no answer.

        Args:
            endpoint: the broker's address.
            budget_s: seconds that the operation has.
        """
        while True:
            try:
                channel = self._idle.pop()
            except IndexError:
                break
            if channel.endpoint == endpoint and channel.greet(budget_s):
                return channel
            self._drop(channel)
        # Two threads may both pass here: the bound may be passed by as many as there
        # are threads in these lines, which is worth no lock.
        if self._closed or self._count >= CHANNELS_MAX:
            return None
        self._count += 1
        try:
            channel = Channel(self, endpoint)
        except zmq.ZMQError:
            self._count -= 1  # out of descriptors or sockets
            return None
        if channel.greet(budget_s):
            return channel
        self._drop(channel)
        # An operation in a hurry has not given it time enough to say so.
        if self.impatient and budget_s * GREETING_PART >= GREETING_S_MAX:
            self._on_doubt(endpoint)
        return None

    def give_back(self, channel: Channel) -> None:
        """The operation is over."""
        if channel.is_doubtful:
            self._on_doubt(channel.endpoint)
        if self._closed or channel.is_doubtful:
            self._drop(channel)
            return
        now = channel.idle_since = time.monotonic()
        self._idle.append(channel)
        while self._idle and now - self._idle[0].idle_since > IDLE_S_MAX:
            self._drop(self._idle.popleft())

    def close(self) -> None:
        """Close the idle channels now, the others when they come back."""
        self._closed = True
        while self._idle:
            self._drop(self._idle.popleft())

    def _drop(self, channel: Channel) -> None:
        self._count -= 1
        channel.close()

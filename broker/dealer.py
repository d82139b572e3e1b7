"""A peer's socket: one DEALER to one broker, and the news of its connection.

Workers and clients use it. It owns no thread and no clock; its owner polls the two
sockets of `pollables` and calls `events` and `receive` when they are readable. A
socket belongs to the thread that made it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from enum import Enum
from math import inf

import zmq

from ..drivers.errors import ProtocolError
from .wire import FRAMES_MAX, MESSAGE_BYTES_MAX, Message, Payload, decode, encode

HEARTBEAT_IVL_MS = 1_000
HEARTBEAT_TIMEOUT_MS = 4_000
RECONNECT_IVL_MS = 20
RECONNECT_IVL_MAX_MS = 500
HIGH_WATER_MESSAGES = 20_000
"""A fuse only: what bounds the bytes is the credit of the streams."""
COPY_BYTES_MAX = 65_536
"""Payloads above this are handed to ZeroMQ without a copy."""
KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTVL_S = 10
KEEPALIVE_PROBES = 3
# As plain numbers: to combine members of an enumeration takes longer than to send.
NOW = int(zmq.DONTWAIT)
"""Flags of a call that must not wait."""
NOW_AND_MORE = int(zmq.DONTWAIT | zmq.SNDMORE)
"""The same for a frame that another one follows."""
_EVENTS = int(zmq.EVENTS)
_INPUT = int(zmq.POLLIN)
_EVENT = struct.Struct("=Hi")
"""First frame of a monitor's message: event and value, in the host's byte order."""
_MONITORED = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class Link(Enum):
    """News of the connection."""

    UP = "up"
    DOWN = "down"


class Dealer:
    """The socket.

    Args:
        context: ZeroMQ context of this process.
        endpoint: a checked address of a broker.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.endpoint = endpoint
        self._socket = context.socket(zmq.DEALER)
        set_options(self._socket, _DEALER_OPTIONS)
        self._monitor = self._socket.get_monitor_socket(_MONITORED)
        self._socket.connect(endpoint)

    @property
    def pollables(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """The socket and its monitor, both to be polled for reading."""
        return self._socket, self._monitor

    @property
    def next_deadline(self) -> float:
        """When it has something to do even if nothing arrives: never."""
        return inf

    def links(self) -> Iterator[Link]:
        """What has happened to the connection since the last call."""
        while self._monitor.poll(0):
            event = take_event(self._monitor)
            up = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            yield Link.UP if up else Link.DOWN

    def send(self, message: Message) -> bool:
        """Send without waiting; False when the message could not be taken."""
        frames = encode(message)
        try:
            if len(frames) == 1:
                self._socket.send(frames[0], NOW)
            else:
                self._socket.send(frames[0], NOW_AND_MORE)
                copy = len(frames[1]) <= COPY_BYTES_MAX
                self._socket.send(frames[1], NOW, copy=copy)
        except zmq.Again:
            return False
        return True

    def receive(self, most: int) -> Iterator[Message | ProtocolError]:
        """Up to `most` messages that have arrived; a broken one is its error."""
        receive = self._socket.recv
        for taken in range(most):
            if taken == 1 and not has_input(self._socket):
                return
            try:
                frame = receive(NOW, copy=False)
            except zmq.Again:
                return
            frames: list[Payload] = [frame.bytes]
            while frame.more:
                frame = receive(NOW, copy=False)
                if len(frames) <= FRAMES_MAX:
                    frames.append(frame.buffer)
            try:
                yield decode(frames, from_broker=True)
            except ProtocolError as error:
                yield error

    def close(self) -> None:
        """Close both sockets; what is unsent is dropped. Harmless when repeated."""
        if self._socket.closed:
            return
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)


def has_input(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message can be received at once.

    To be asked behind the first of a turn: often there is no second, and the exception
    that says so takes longer than a message.
    """
    return bool(int(socket.get(_EVENTS)) & _INPUT)


def take_event(monitor: zmq.Socket[bytes]) -> int:
    """The number of the next event of a monitor that has one.

    pyzmq's own function does the same, but its module imports asyncio, which takes
    longer to import than the whole client.
    """
    event: int = _EVENT.unpack_from(monitor.recv_multipart(zmq.DONTWAIT)[0])[0]
    return event


_OPTIONS: dict[int, int] = {
    zmq.LINGER: 0,
    zmq.SNDHWM: HIGH_WATER_MESSAGES,
    zmq.MAXMSGSIZE: MESSAGE_BYTES_MAX,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: KEEPALIVE_IDLE_S,
    zmq.TCP_KEEPALIVE_INTVL: KEEPALIVE_INTVL_S,
    zmq.TCP_KEEPALIVE_CNT: KEEPALIVE_PROBES,
    zmq.IPV6: 1,
}

# A socket has either ZMTP heartbeats or a bound on what it receives, never both:
# libzmq 4.3.5 aborts the process when a heartbeat is due on a connection that broke
# while its input was paused at the bound. Where the other side is ours, credit bounds
# the input, and a heartbeat finds a stopped process; see `doors` for the rest.
HEARTBEATS: dict[int, int] = {
    zmq.RCVHWM: 0,
    zmq.HEARTBEAT_IVL: HEARTBEAT_IVL_MS,
    zmq.HEARTBEAT_TIMEOUT: HEARTBEAT_TIMEOUT_MS,
    zmq.HEARTBEAT_TTL: HEARTBEAT_TIMEOUT_MS,
}

_DEALER_OPTIONS: dict[int, int] = HEARTBEATS | {
    zmq.IMMEDIATE: 1,
    zmq.RECONNECT_IVL: RECONNECT_IVL_MS,
    zmq.RECONNECT_IVL_MAX: RECONNECT_IVL_MAX_MS,
}


def set_options(
    socket: zmq.Socket[bytes], more: Mapping[int, int] | None = None
) -> None:
    """Set the options that every socket of the bus has, and some more."""
    for option, value in (_OPTIONS | dict(more or {})).items():
        socket.setsockopt(option, value)

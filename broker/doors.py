"""The broker's two sockets: bound, and heard of when a connection goes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import cast

import zmq

from ..drivers.errors import (
    AccessDeniedError,
    InvalidParameterError,
    ProtocolError,
    UnavailableError,
)
from .dealer import (
    COPY_BYTES_MAX,
    HEARTBEATS,
    HIGH_WATER_MESSAGES,
    NOW,
    NOW_AND_MORE,
    has_input,
    set_options,
    take_event,
)
from .ipcclaim import SCHEME, IpcClaim
from .sessions import Door, Peer, make_peer
from .wire import FRAMES_MAX, Message, Payload, decode, encode

# Anybody may knock at the clients' door, so that its input is bounded, and it has no
# heartbeats (see `dealer`): the ends of processes and TCP's keepalive tell of losses.
_INPUT_OPTIONS: dict[Door, dict[int, int]] = {
    Door.CLIENTS: {zmq.RCVHWM: HIGH_WATER_MESSAGES},
    Door.WORKERS: HEARTBEATS,
}
# Without MANDATORY a message to a peer that is gone or full is dropped in silence;
# without HANDOVER a peer that returns with its old id is not heard.
_ROUTER_OPTIONS: dict[int, int] = {zmq.ROUTER_MANDATORY: 1, zmq.ROUTER_HANDOVER: 1}
EVENTS_MAX = 1_000
"""Events taken from a monitor before the messages have their turn."""


class DoorSocket:
    """A bound ROUTER.

    Args:
        context: ZeroMQ context.
        door: which of the two.
        addresses: where to bind it.

    Attributes:
        addresses: where it is bound, with the ports that were free.

    Raises:
        UnavailableError: an address is in use.
        StorageError: the system refuses it; typed by the reason.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        door: Door,
        addresses: tuple[str, ...],
    ) -> None:
        self.door = door
        self._claims: list[IpcClaim] = []
        self._socket = context.socket(zmq.ROUTER)
        set_options(self._socket, _ROUTER_OPTIONS | _INPUT_OPTIONS[door])
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            for address in addresses:
                if address.startswith(SCHEME):
                    self._claims.append(IpcClaim(address))
            self.addresses = tuple(self._bind(address) for address in addresses)
        except BaseException:
            self.close()
            raise

    @property
    def pollables(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """The socket and its monitor, both to be polled for reading."""
        return self._socket, self._monitor

    def disconnections(self) -> int:
        """How many connections were lost since the last call."""
        count = 0
        while count < EVENTS_MAX and self._monitor.poll(0):
            take_event(self._monitor)
            count += 1
        return count

    def receive(self, most: int) -> Iterator[tuple[Peer, Message | ProtocolError]]:
        """Up to `most` messages that have arrived.

        Payloads stay ZeroMQ's own frames, so that they are passed on without a copy.
        """
        receive, door = self._socket.recv, self.door
        for taken in range(most):
            if taken == 1 and not has_input(self._socket):
                return
            try:
                peer = make_peer((door, receive(NOW)))
            except zmq.Again:
                return
            # Behind the routing id there is always a frame, be it an empty one.
            frame = receive(NOW, copy=False)
            frames: list[Payload] = [frame.bytes]
            extra = 0
            while frame.more:
                frame = receive(NOW, copy=False)
                if len(frames) < FRAMES_MAX:
                    frames.append(cast(Payload, frame))
                else:
                    extra += 1
            if extra:
                yield peer, ProtocolError(f"a message of {FRAMES_MAX + extra} frames")
                continue
            try:
                yield peer, decode(frames, from_broker=False)
            except ProtocolError as error:
                yield peer, error

    def send(self, routing_id: bytes, message: Message) -> bool:
        """Send without waiting; False when the peer is gone or reads nothing."""
        frames = encode(message)
        socket = self._socket
        try:
            socket.send(routing_id, NOW_AND_MORE)
            if len(frames) == 1:
                socket.send(frames[0], NOW)
            else:
                socket.send(frames[0], NOW_AND_MORE)
                payload = frames[1]
                copy = isinstance(payload, bytes) and len(payload) <= COPY_BYTES_MAX
                socket.send(payload, NOW, copy=copy)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                return False
            raise
        return True

    def close(self) -> None:
        """Close the sockets and give the addresses back."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        while self._claims:
            self._claims.pop().release()

    def _bind(self, address: str) -> str:
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            text = f"cannot listen at {address}: {error.strerror}"
            if error.errno == zmq.EADDRINUSE:
                raise UnavailableError(f"{text}; is another broker there?") from error
            if error.errno in (errno.EPERM, errno.EACCES):
                raise AccessDeniedError(text) from error
            raise InvalidParameterError(text) from error
        return self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

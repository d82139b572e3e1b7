"""Call lanes: small calls that go straight to a worker of this host.

A call through the broker wakes a thread in three processes, and libzmq's own in each;
by a lane the calling thread sends one packet to the worker and reads one. The broker
still says who does what: a client gets a lane with the answer to a call that the broker
has routed, to the worker that it chose, and after some seconds asks anew. What a worker
declines, and all that goes wrong, goes by the bus. PROTOCOL.md section 9.2.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ..broker.lanes import WORD, Descriptor, abstract_name, is_own_user
from ..broker.messages import LANE_CALLS, Result
from ..broker.packets import BUDGET_MS_MAX, PACKET_BYTES_MAX, from_packet, to_packet
from ..broker.wire import Message, Payload, Type
from ..drivers.errors import ProtocolError
from .suspects import Suspects

LANES_MAX = 64
"""Call lanes of one client; a call that finds none free goes by the bus."""
LANE_S_MAX = 10.0
"""How long a lane is used: then the broker is asked again who has time."""
PATIENCE_S = BUDGET_MS_MAX / 1_000
"""How long a call by a lane may take; then the bus has it."""
MARGIN_S = 0.05
"""How much longer its answer is waited for."""
CALLS_FIRST = 2
"""Calls by the bus before the first lane: a program that makes one needs none."""
VAIN_MAX = 2 * LANES_MAX
"""Calls that ask for a lane and get none, before no more ask for a while."""
VAIN_S = 5.0
SKIPS_MAX = 64
"""Downloads that go by the bus at once after one that was too large for a packet."""

_KIND = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC

log = logging.getLogger("storagebus.client")


class Answer(NamedTuple):
    """What a worker has said.

    Attributes:
        message: RESULT or ERROR.
        file: the descriptor that came with it.
    """

    message: Message
    file: Descriptor | None = None


class Lane(Protocol):
    """A lane as a pool knows it.

    Attributes:
        closed: whether it is of no more use.
    """

    closed: bool

    def is_good(self, now: float) -> bool:
        """Whether it may have another call."""

    async def ask(
        self, operation: int, fields: bytes, payload: Payload, takes_file: bool
    ) -> Answer | None:
        """Have a call done, the only one in the lane.

        Args:
            operation: which.
            fields: its arguments, packed.
            payload: content of a put.
            takes_file: whether a descriptor may come with the answer.

        Returns:
            None when there was no answer, and the lane is closed.
        """

    def close(self) -> None:
        """Close it. Harmless when repeated."""


class LanePool:
    """The call lanes of one client to one service.

    Threads share it without a lock: who loses a race has one lane more or less.

    Args:
        make: a lane of a connection.

    Attributes:
        count: how many there are, free or not.
        suspects: calls that had better not have one.
    """

    def __init__(self, make: Callable[[socket.socket], Lane]) -> None:
        self.suspects = Suspects()
        self._make = make
        self._idle: deque[Lane] = deque()
        self.count = 0
        self._by_bus = 0
        self._vain = 0
        self._wanted_at = 0.0
        self._tried_at: dict[int, float] = {}
        self._skips: dict[int, int] = {}
        self._skipped: dict[int, int] = {}
        self._closed = False

    def is_welcome(self, operation: int, now: float) -> bool:
        """Whether the workers want calls of this kind now, as far as is known."""
        return not self._tried_at or now >= self._tried_at.get(operation, 0.0)

    def is_skipped(self, operation: int) -> bool:
        """Whether the next call of this kind goes by the bus, as what was asked for
        before was too large."""
        return self._skipped.get(operation, 0) > 0

    def lease(self, operation: int, now: float) -> Lane | None:
        """A free lane for a call; None when the bus is to have it."""
        if not self.is_welcome(operation, now):
            return None
        if self.is_skipped(operation):
            self._skipped[operation] -= 1
            return None
        while True:
            try:
                lane = self._idle.pop()
            except IndexError:
                return None
            if lane.is_good(now):
                return lane
            self._drop(lane)

    async def lane(self, operation: int, now: float) -> Lane | None:
        """As `lease`; may wait for a lane where that is worth it."""
        return self.lease(operation, now)

    def give_back(self, lane: Lane) -> None:
        """A call is over."""
        if lane.closed or self._closed:
            self._drop(lane)
            return
        self._idle.append(lane)
        self._prune(time.monotonic())

    def wants(self, now: float, first: int = CALLS_FIRST) -> bool:
        """Whether a call that goes by the bus is to ask for a lane.

        Args:
            now: the time.
            first: calls that go by the bus before.
        """
        self._by_bus += 1
        if self._by_bus <= first or self._idle or self._closed:
            return False
        if self.count >= LANES_MAX or now < self._wanted_at:
            return False
        self._vain += 1
        if self._vain > VAIN_MAX:
            self._vain = 0
            self._wanted_at = now + VAIN_S
        return True

    def admit(self, offer: Result) -> None:
        """Take up what a worker offers with its answer."""
        self._vain = 0
        if offer.lane != LANE_CALLS or self._closed or self.count >= LANES_MAX:
            return
        try:
            connection = knock(offer)
        except (OSError, ProtocolError) as error:
            log.debug("no lane for calls: %s", error)
            return
        self.count += 1
        self._idle.append(self._make(connection))

    def declined(self, operation: int, until: float) -> None:
        """The worker does not want calls of this kind before then."""
        self._tried_at[operation] = until

    def too_large(self, operation: int) -> None:
        """What was asked for did not fit: the next ones may not either."""
        more = min(SKIPS_MAX, 2 * self._skips.get(operation, 0) + 1)
        self._skips[operation] = self._skipped[operation] = more

    def fitted(self, operation: int) -> None:
        """What was asked for did fit."""
        if self._skips:
            self._skips.pop(operation, None)

    def close(self) -> None:
        """Close the free lanes now, the others when they come back."""
        self._closed = True
        while True:
            try:
                self._drop(self._idle.pop())
            except IndexError:
                return

    def _prune(self, now: float) -> None:
        """Close what has lain idle for too long, which is what was first given back."""
        while self._idle and not self._idle[0].is_good(now):
            try:
                lane = self._idle.popleft()
            except IndexError:
                return  # another thread was faster
            if lane.is_good(now):
                self._idle.append(lane)
            else:
                self._drop(lane)

    def _drop(self, lane: Lane) -> None:
        self.count -= 1
        lane.close()


class LaneSocket:
    """What the lanes of threads and those of event loops share.

    Args:
        connection: it has said its token.

    Attributes:
        closed: see `Lane`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.closed = False
        self._old_at = time.monotonic() + LANE_S_MAX
        self._socket = connection
        self._calls = 0

    def is_good(self, now: float) -> bool:
        """Part of `Lane`."""
        return not self.closed and now < self._old_at

    def _send(self, operation: int, fields: bytes, payload: Payload) -> int:
        """Ask for a call; returns its number.

        Raises:
            OSError: the packet was not taken.
        """
        self._calls += 1
        send(self._socket, opening(self._calls, operation, fields, payload))
        return self._calls


class CallLane(LaneSocket):
    """A lane whose calls the calling threads wait for."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        # The kernel's own timeouts would begin anew after each signal, for ever where
        # a timer sends one after the other.
        connection.settimeout(PATIENCE_S + MARGIN_S)

    async def ask(
        self, operation: int, fields: bytes, payload: Payload, takes_file: bool
    ) -> Answer | None:
        """Part of `Lane`; the calling thread waits."""
        number = 0
        try:
            number = self._send(operation, fields, payload)
            packet, file = receive(self._socket, takes_file)
            if packet == WORD and number == 1:
                packet, file = receive(self._socket, takes_file)
        except OSError:
            packet, file = b"", None
        except BaseException:
            self.close()
            raise
        answer = answer_in(packet, number, file)
        if answer is None:
            self.close()
        return answer

    def close(self) -> None:
        """Part of `Lane`."""
        self.closed = True
        self._socket.close()


def knock(offer: Result) -> socket.socket:
    """Connect to a worker's side socket and show the token; does not wait.

    Raises:
        OSError, ProtocolError: the lane is not to be had.
    """
    name = abstract_name(offer.lane_address)
    if name is None:
        raise ProtocolError(f"{offer.lane_address!r} is no address of a lane")
    connection = socket.socket(socket.AF_UNIX, _KIND)
    try:
        connection.setblocking(False)
        connection.connect(name)
        if not is_own_user(connection):
            raise ProtocolError("another user is at the lane's address")
        connection.send(offer.lane_token, socket.MSG_NOSIGNAL)
    except BaseException:
        connection.close()
        raise
    return connection


def opening(
    number: int, operation: int, fields: bytes, payload: Payload
) -> list[Payload]:
    """The packet that asks for a call.

    Args:
        number: of the call in its lane, from 1.
        operation: which.
        fields: its arguments, packed.
        payload: content of a put.
    """
    return to_packet(
        Message(
            Type.OPEN,
            number,
            operation,
            offset=int(time.monotonic() * 1_000_000),
            budget_ms=BUDGET_MS_MAX,
            fields=fields,
            payload=payload,
        )
    )


def send(connection: socket.socket, parts: list[Payload]) -> None:
    """Send a packet.

    Raises:
        OSError: it was not taken.
    """
    if len(parts) == 1:
        connection.send(parts[0], socket.MSG_NOSIGNAL)
    else:
        connection.sendmsg(parts, (), socket.MSG_NOSIGNAL)


def receive(
    connection: socket.socket, takes_file: bool
) -> tuple[bytes, Descriptor | None]:
    """The next packet, and the descriptor that comes with it; others the kernel closes.

    Raises:
        OSError: there is none.
    """
    if not takes_file:
        return connection.recv(PACKET_BYTES_MAX + 1), None
    packet, fds, _, _ = socket.recv_fds(
        connection, PACKET_BYTES_MAX + 1, 1, socket.MSG_CMSG_CLOEXEC
    )
    files = [Descriptor(fd) for fd in fds]
    return packet, files[0] if len(files) == 1 else None


def answer_in(packet: bytes, number: int, file: Descriptor | None) -> Answer | None:
    """The answer to a call; None when the packet holds none."""
    if not packet:
        return None
    try:
        message = from_packet(packet)
    except ProtocolError as error:
        log.warning("a call lane is closed: %s", error.detail)
        return None
    if message.stream != number or message.type not in (Type.RESULT, Type.ERROR):
        return None
    return Answer(message, file)

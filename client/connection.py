"""A client core and its sockets: whoever holds a `Connection` drives it.

The I/O thread holds one for every set of brokers, a thread that leases a channel
holds that channel's, an `AsyncClient` its own. Nothing here waits, and nothing here
may be touched by two threads at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Protocol

import zmq

from ..broker.dealer import Dealer, Link
from ..broker.lanes import is_possible
from ..broker.messages import LANE_FEATURE, PROTOCOL_MAX, PROTOCOL_MIN, Hello
from ..broker.wire import Message, Payload, Type
from ..drivers.errors import ProtocolError
from .context import Context
from .core import ClientCore
from .requests import Event, Output, Request

if TYPE_CHECKING:
    from .local import LocalBroker


class Listener(Protocol):
    """Whoever is told the events of an operation: its key in the core."""

    def take(self, event: Event) -> None:
        """Take an event."""

    def wake(self) -> None:
        """There was news."""


OpenLink = Callable[[Context, str], "Dealer | LocalBroker"]

BATCH_MESSAGES = 64
"""Messages taken from one broker before others have their turn."""


class Connection:
    """The sockets to some brokers that serve the same services, and their core.

    Args:
        context: ZeroMQ context of this process.
        endpoints: checked addresses.
        clock: the source of `now`.
        open_link: makes the way to one broker; a managed child's is no `Dealer`.
        impatient: see `ClientCore`.
    """

    def __init__(
        self,
        context: Context,
        endpoints: Sequence[str],
        clock: Callable[[], float],
        open_link: OpenLink = Dealer,
        *,
        impatient: bool = False,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.core = ClientCore(self.endpoints, make_hello(), impatient=impatient)
        self._clock = clock
        self._told: dict[Listener, None] = {}
        self._dealers: list[Dealer | LocalBroker] = []
        try:
            for endpoint in self.endpoints:
                self._dealers.append(open_link(context, endpoint))
        except BaseException:
            self.close()
            raise

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        """All that is to be polled for reading."""
        return [socket for dealer in self._dealers for socket in dealer.pollables]

    @property
    def next_deadline(self) -> float:
        """When `pump` has something to do even if nothing arrives."""
        due = self.core.next_deadline(self._clock())
        return min([due, *(dealer.next_deadline for dealer in self._dealers)])

    def now(self) -> float:
        """The present."""
        return self._clock()

    # What the application wants

    def open(self, key: Listener, request: Request) -> None:
        """See `ClientCore.open`; so for the methods that follow."""
        self._do(self.core.open(key, request, self._clock()))

    def consumed(self, key: Listener, count: int) -> None:
        self._do(self.core.consumed(key, count, self._clock()))

    def write(self, key: Listener, data: Payload) -> None:
        self._do(self.core.write(key, data, self._clock()))

    def write_lane(self, key: Listener, count: int) -> None:
        self._do(self.core.write_lane(key, count, self._clock()))

    def starve(self, key: Listener) -> None:
        self._do(self.core.starve(key, self._clock()))

    def stall(self, key: Listener) -> None:
        self._do(self.core.stall(key, self._clock()))

    def move_on(self, key: Listener) -> None:
        self._do(self.core.move_on(key))

    def relax(self, key: Listener) -> None:
        self._do(self.core.relax(key, self._clock()))

    def end(self, key: Listener, kind: Type, size: int, within_s: float) -> None:
        self._do(self.core.end(key, kind, size, within_s, self._clock()))

    def abandon(self, key: Listener) -> None:
        self._do(self.core.abandon(key, self._clock()))

    def doubt(self, endpoint: str) -> None:
        self._do(self.core.doubt(self.endpoints.index(endpoint), self._clock()))

    def _do(self, output: Output) -> None:
        self._apply(output)
        self._wake()

    # What the network has brought

    def pump(self, ready: Callable[[zmq.Socket[bytes]], bool] | None = None) -> bool:
        """Deal with news, a bounded number of messages, and what is due.

        Args:
            ready: says which sockets are readable; without it all are looked at.

        Returns:
            Whether there may be more to take at once.
        """
        more = False
        for index, dealer in enumerate(self._dealers):
            socket, monitor = dealer.pollables
            due = dealer.next_deadline <= self._clock()
            if ready is None or due or ready(monitor):
                self._take_links(index, dealer)
            if ready is None or due or ready(socket):
                more = self._take_messages(index, dealer) or more
        now = self._clock()
        if now >= self.core.next_deadline(now):
            self._apply(self.core.tick(now))
        self._wake()
        return more

    def close(self) -> None:
        """Take leave of the brokers, end all operations, close the sockets."""
        output = self.core.close(self._clock())
        for index, message in output.sends:
            self._dealers[index].send(message)
        for dealer in self._dealers:
            dealer.close()
        self._dealers = []
        self._tell(output)
        self._wake()

    def _take_links(self, index: int, dealer: Dealer | LocalBroker) -> None:
        for link in dealer.links():
            now = self._clock()
            if link is Link.UP:
                self._apply(self.core.connected(index, now))
            else:
                self._apply(self.core.disconnected(index, now))

    def _take_messages(self, index: int, dealer: Dealer | LocalBroker) -> bool:
        taken = 0
        for message in dealer.receive(BATCH_MESSAGES):
            taken += 1
            now = self._clock()
            if isinstance(message, ProtocolError):
                self._apply(self.core.broken(index, message, now))
            else:
                self._apply(self.core.received(index, message, now))
        return taken == BATCH_MESSAGES

    def _apply(self, output: Output) -> None:
        unsent: dict[int, list[Message]] = {}
        for index, message in output.sends:
            # Behind a message that was not taken nothing may go out any more.
            if index in unsent:
                unsent[index].append(message)
            elif not self._dealers[index].send(message):
                unsent[index] = [message]
        self._tell(output)
        for index, messages in unsent.items():
            self._apply(self.core.unsent(index, messages, self._clock()))

    def _tell(self, output: Output) -> None:
        for listener, event in output.events:
            listener.take(event)
            self._told[listener] = None

    def _wake(self) -> None:
        """Wake those who were told something, once all that has arrived is told.

        Waking a thread that then waits for this one to let go of the interpreter
        costs more than all else that is done for a small call.
        """
        if self._told:
            told, self._told = self._told, {}
            for listener in told:
                listener.wake()


def make_hello() -> Hello:
    """What a client of this process says of itself.

    Every connection is a session of its own, so that each has its own `boot`.
    """
    name = os.path.basename(sys.argv[0] if sys.argv else "") or "python"  # noqa: PTH119
    return Hello(
        role="client",
        protocol=(PROTOCOL_MIN, PROTOCOL_MAX),
        boot=os.urandom(16),
        name=name[:64],
        pid=os.getpid(),
        features=(LANE_FEATURE,) if is_possible() else (),
    )


def wait_ms(deadline: float, now: float, most_ms: int) -> int:
    """Milliseconds that a poll may sleep, rounded up so that it does not spin."""
    if deadline == inf:
        return most_ms
    return max(0, min(most_ms, int((deadline - now) * 1000) + 1))

"""A broker without a socket for clients: what a managed child's client talks to.

In a program with managed children the client's core and the broker's run in the same
I/O thread, and messages pass between them as they are: only the way to the children is
encoded. To a `Connection` this looks like the `Dealer` that it uses towards a broker
elsewhere.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from random import Random

import zmq

from ..broker.core import BrokerCore
from ..broker.dealer import Link
from ..broker.doors import DoorSocket
from ..broker.messages import Hello
from ..broker.notices import Notice
from ..broker.sessions import Door, Peer
from ..broker.settings import BrokerSettings
from ..broker.wire import Message
from ..drivers.errors import ProtocolError, StorageError
from ..workers.elastic import PoolLoad
from ..workers.health import Condition
from .context import Context

BATCH_MESSAGES = 64
"""Messages taken from the children before the client has its turn."""
BEAT_S = 0.5
"""How often the owner of the children is told how they are."""
_CLIENT = Peer(Door.CLIENTS, b"local")


OnBeat = Callable[[Mapping[bytes, Condition], PoolLoad], None]
"""Told how the workers are, by their boot ids, and how busy they are together."""


class LocalBroker:
    """The broker's core, its door for the children, and its one client.

    It is bound when it is made, by any thread; from then on it belongs to the thread
    that drives the connection.

    Args:
        context: ZeroMQ context of this process.
        settings: the broker's; `clients` is not used.
        admit: says why a worker may not join, or "".
        on_notice: told who joined, left or was turned away, from the I/O thread.

    Attributes:
        on_beat: told every `BEAT_S` how the workers are, from the I/O thread.
    """

    def __init__(
        self,
        context: Context,
        settings: BrokerSettings,
        admit: Callable[[Hello], str],
        on_notice: Callable[[Notice], None],
    ) -> None:
        self._door = DoorSocket(context, Door.WORKERS, settings.workers)
        self._on_notice = on_notice
        self._inbox: deque[Message] = deque()
        self._announced = False
        self.on_beat: OnBeat | None = None
        self._beat_at = 0.0
        self._core = BrokerCore(
            settings,
            seed=int.from_bytes(os.urandom(6), "big"),
            chance=Random(os.urandom(8)),
            now=time.monotonic(),
            pid=os.getpid(),
            admit=admit,
        )

    @property
    def pollables(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """Part of `Dealer`: the children's door and its monitor."""
        return self._door.pollables

    @property
    def next_deadline(self) -> float:
        """When it has something to do even if nothing arrives."""
        if self._inbox or not self._announced:
            return 0.0  # at once
        return min(self._core.next_deadline(), self._beat_at)

    def links(self) -> Iterator[Link]:
        """Part of `Dealer`: this broker is always there."""
        if self._door.disconnections():
            self._core.disconnected(Door.WORKERS, time.monotonic())
            self._flush()
        if not self._announced:
            self._announced = True
            yield Link.UP

    def send(self, message: Message) -> bool:
        """Part of `Dealer`: the core takes the message at once."""
        self._core.received(_CLIENT, message, time.monotonic())
        self._flush()
        return True

    def receive(self, most: int) -> Iterator[Message | ProtocolError]:
        """Part of `Dealer`: hear the children, then hand out what is for the client."""
        now = time.monotonic()
        for peer, message in self._door.receive(BATCH_MESSAGES):
            self._core.received(peer, message, now)
            self._flush()
        if now >= self._core.next_deadline():
            self._core.tick(now)
            self._flush()
        if now >= self._beat_at:
            self._beat_at = now + BEAT_S
            self._beat(now)
        for _ in range(most):
            if not self._inbox:
                return
            yield self._inbox.popleft()

    def ended(self, cookie: str, crashed: bool) -> None:
        """A child's process has ended; see `BrokerCore.ended`."""
        self._core.ended(cookie, crashed=crashed)

    def refuse_waiting(self, service: str, error: StorageError) -> None:
        """End what waits for a worker that will not come."""
        self._core.switch.refuse_waiting(service, error)
        self._flush()

    def close(self) -> None:
        """Close the door."""
        self._door.close()

    def _flush(self) -> None:
        outbox = self._core.outbox
        while outbox:
            send = outbox.popleft()
            if send.peer == _CLIENT:
                self._inbox.append(_as_delivered(send.message))
            elif not self._door.send(send.peer.routing_id, send.message):
                self._core.undelivered(send, time.monotonic())
        while self._core.notices:
            self._on_notice(self._core.notices.popleft())

    def _beat(self, now: float) -> None:
        workers = self._core.roster.workers()
        waiting = sum(len(backlog) for backlog in self._core.switch.backlogs.values())
        load = PoolLoad(
            workers=len(workers),
            busy=sum(worker.calls + worker.open for worker in workers),
            slots=sum(worker.slots for worker in workers),
            waiting=waiting,
        )
        if self.on_beat is not None:
            conditions = {
                worker.hello.boot: Condition(worker.stuck_s(now), now - worker.heard)
                for worker in workers
            }
            self.on_beat(conditions, load)


def _as_delivered(message: Message) -> Message:
    """The message as a `Dealer` would have read it: a payload is memory, no frame."""
    payload = message.payload
    if isinstance(payload, zmq.Frame):
        return message._replace(payload=payload.buffer)
    return message

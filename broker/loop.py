"""The broker's thread: it polls the doors, asks the core, and sends what it says."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from random import Random
from types import FrameType

import zmq

from .allocator import keep_memory
from .core import BrokerCore
from .doors import DoorSocket
from .filelimit import raise_file_limit
from .messages import Farewell, Reason, pack
from .notices import Joined, Left, Notice, NoticeRate
from .sessions import Door
from .settings import BrokerSettings
from .wakeup import Wakeup
from .wire import Message, Type

BATCH_MESSAGES = 64
"""Messages taken from one door before the other has its turn."""
POLL_MS_MAX = 1_000
RETIRING_POLL_MS = 50
GRACE_S = 5.0
"""How long a broker that was told to end lets streams go on."""
FENCE_S = 0.5
"""How long a client may take to say that it opens nothing more."""
FAREWELL_MS = 50
"""Time that libzmq gets to send the last messages."""

log = logging.getLogger("storagebus.broker")


class Broker:
    """A broker and its sockets.

    Args:
        settings: addresses and limits.

    Attributes:
        core: the machine; to be touched by the thread in `run` only.

    Raises:
        UnavailableError, AccessDeniedError, InvalidParameterError: an address
            cannot be bound.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 65_535)
        self._wakeup = Wakeup()
        self._grace_s: float | None = None
        self._doors: dict[Door, DoorSocket] = {}
        self._rate = NoticeRate()
        try:
            # Workers first: whoever reaches a broker finds it able to serve.
            self._doors[Door.WORKERS] = DoorSocket(
                self._context, Door.WORKERS, settings.workers
            )
            self._doors[Door.CLIENTS] = DoorSocket(
                self._context, Door.CLIENTS, settings.clients
            )
        except BaseException:
            self.close()
            raise
        self.core = BrokerCore(
            settings,
            seed=int.from_bytes(os.urandom(6), "big"),
            chance=Random(os.urandom(8)),
            now=time.monotonic(),
            pid=os.getpid(),
        )

    @property
    def clients(self) -> tuple[str, ...]:
        """Where clients reach it."""
        return self._doors[Door.CLIENTS].addresses

    @property
    def workers(self) -> tuple[str, ...]:
        """Where workers reach it."""
        return self._doors[Door.WORKERS].addresses

    def stop(self, grace_s: float = 0.0) -> None:
        """Make `run` return soon. Safe from any thread and from a signal handler.

        Args:
            grace_s: seconds for which streams may go on, while new calls of the
                clients go to other brokers or wait; a later call may shorten it.
        """
        self._grace_s = grace_s
        self._wakeup.set()

    def run(self) -> None:
        """Serve until `stop`; the sockets are closed when it returns."""
        poller = zmq.Poller()
        poller.register(self._wakeup.fileno(), zmq.POLLIN)
        for door in self._doors.values():
            for socket in door.pollables:
                poller.register(socket, zmq.POLLIN)
        try:
            while self._grace_s is None:
                self._turn(poller)
            if self._grace_s > 0:
                self._retire(poller)
            self._farewell()
        finally:
            self.close()

    def _retire(self, poller: zmq.Poller) -> None:
        """Send the clients elsewhere, and serve on until they have gone."""
        began = time.monotonic()
        self.core.retire(began)
        self._flush(began)
        while not self.core.is_deserted:
            past_s = time.monotonic() - began
            if past_s >= (self._grace_s or 0.0):
                return
            if past_s >= FENCE_S and self.core.is_idle:
                return  # who has not answered by now does not know DRAIN
            self._turn(poller, RETIRING_POLL_MS)

    def close(self) -> None:
        """Close the sockets. Harmless when repeated."""
        for door in self._doors.values():
            door.close()
        self._doors.clear()
        self._context.destroy(linger=0)
        self._wakeup.close()

    def _turn(self, poller: zmq.Poller, most_ms: int = POLL_MS_MAX) -> None:
        """Sleep until something happens, and deal with a bounded part of it."""
        wait_ms = math.ceil((self.core.next_deadline() - time.monotonic()) * 1000)
        ready = dict(poller.poll(min(max(0, wait_ms), most_ms)))
        now = time.monotonic()
        if self._wakeup.fileno() in ready:
            self._wakeup.clear()
        for door in self._doors.values():
            socket, monitor = door.pollables
            if monitor in ready and door.disconnections():
                self.core.disconnected(door.door, now)
                self._flush(now)
            if socket in ready:
                # What there is to send goes out together: ZeroMQ's own thread, and
                # the receiver, then wake once for all of it.
                for peer, message in door.receive(BATCH_MESSAGES):
                    self.core.received(peer, message, now)
                self._flush(now)
        now = time.monotonic()
        if now >= self.core.next_deadline():
            self.core.tick(now)
            self._flush(now)
        if self.core.notices or self._rate.silenced:
            self._tell(now)

    def _tell(self, now: float) -> None:
        """Log what the core has to tell, but not without end."""
        silenced = self._rate.passed(now)
        if silenced:
            log.warning("%d more peers came, went or were turned away", silenced)
        while self.core.notices:
            notice = self.core.notices.popleft()
            if self._rate.may_tell(now):
                log.log(*_words(notice))

    def _flush(self, now: float) -> None:
        outbox = self.core.outbox
        while outbox:
            send = outbox.popleft()
            peer = send.peer
            if not self._doors[peer.door].send(peer.routing_id, send.message):
                self.core.undelivered(send, now)

    def _farewell(self) -> None:
        """Tell all peers, so that they need not find out."""
        fields = pack(Farewell("the broker was stopped"))
        for session in self.core.sessions:
            message = Message(
                Type.GOAWAY, code=Reason.SHUTDOWN, epoch=session.epoch, fields=fields
            )
            self._doors[session.peer.door].send(session.peer.routing_id, message)
        time.sleep(FAREWELL_MS / 1000)


def _words(notice: Notice) -> tuple[int, str]:
    hello = notice.hello
    if isinstance(notice, Joined):
        what = f"worker {notice.worker} joined service {hello.service!r}"
        return logging.INFO, f"{what} with driver {hello.driver!r}"
    if isinstance(notice, Left):
        return logging.INFO, f"worker {notice.worker} left service {hello.service!r}"
    who = f"{hello.role} {hello.name!r} (pid {hello.pid})"
    return logging.WARNING, f"turned {who} away: {notice.detail}"


def run(
    settings: BrokerSettings, on_ready: Callable[[Broker], None] | None = None
) -> int:
    """Run a broker in the main thread until SIGTERM or SIGINT.

    The first signal sends its clients elsewhere and lets streams go on for up to
    `GRACE_S`, the second ends it at once.

    Args:
        settings: addresses and limits.
        on_ready: called once the doors are open.

    Returns:
        The exit code, 0.

    Raises:
        UnavailableError, AccessDeniedError, InvalidParameterError: an address
            cannot be bound.
    """
    raise_file_limit()
    keep_memory()
    broker = Broker(settings)

    told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told
        broker.stop(0.0 if told else GRACE_S)
        told = True

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGTERM, signal.SIGINT)
        if threading.current_thread() is threading.main_thread()
    }
    log.info("listening at %s, for workers at %s", broker.clients, broker.workers)
    try:
        if on_ready is not None:
            on_ready(broker)
        broker.run()
    finally:
        broker.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    log.info("stopped")
    return 0

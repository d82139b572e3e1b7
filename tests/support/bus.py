"""A real broker in a thread, and peers on real sockets that do as a test tells them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq
from scene import hello_of

from storagebus.broker.dealer import Dealer
from storagebus.broker.loop import Broker
from storagebus.broker.messages import Open, Operation, pack
from storagebus.broker.settings import BrokerSettings
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import ProtocolError

PATIENCE_S = 20.0


def settings_at(folder: Path, **changes: Any) -> BrokerSettings:
    """Settings of a broker whose doors are in a folder."""
    given: dict[str, Any] = {
        "clients": (f"ipc://{folder}/clients",),
        "workers": (f"ipc://{folder}/workers",),
        "services": ("default",),
    }
    return BrokerSettings(**given | changes)


@contextmanager
def running(settings: BrokerSettings) -> Iterator[Broker]:
    """A broker that serves in a thread of its own until the block ends."""
    broker = Broker(settings)
    thread = threading.Thread(target=broker.run)
    thread.start()
    try:
        yield broker
    finally:
        broker.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the broker did not stop"


def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> float:
    """Wait until something holds; returns the seconds that it took."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.002)
    return time.monotonic() - started


class TestPeer:
    """A peer on a Dealer.

    Args:
        context: ZeroMQ context.
        endpoint: where the broker is.
        role: "client" or "worker".
        hello: what it says of itself otherwise.
    """

    __test__ = False

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        role: str,
        /,
        **hello: Any,
    ) -> None:
        self.hello = hello_of(str(id(self)), role, **hello)
        self.dealer = Dealer(context, endpoint)
        self.epoch = 0
        self._ready: list[Message] = []

    def greet(self) -> Message:
        """Say HELLO and wait for the WELCOME."""
        self.say(Type.HELLO, fields=pack(self.hello))
        welcome = self.expect(Type.WELCOME)
        self.epoch = welcome.epoch
        return welcome

    def say(self, kind: Type, stream: int = 0, **more: Any) -> None:
        """Send a message, once the connection stands."""
        message = Message(kind, stream, epoch=self.epoch, **more)
        until(lambda: self.dealer.send(message), f"{kind.name} was taken")

    def open(
        self, stream: int, operation: Operation = Operation.STAT, **more: Any
    ) -> None:
        """Send an OPEN for the service `default`, each about a path of its own: what is
        asked for again after it has ended workers waits for one to itself."""
        fields = pack(Open("default", f"/a/{stream}"))
        self.say(Type.OPEN, stream, code=int(operation), fields=fields, **more)

    def next(self, seconds: float = PATIENCE_S) -> Message:
        """The next message that is no PING."""
        deadline = time.monotonic() + seconds
        while True:
            while self._ready:
                message = self._ready.pop(0)
                if message.type is not Type.PING:
                    return message
                self.say(Type.PONG, offset=message.offset)
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"nothing came within {seconds} s")
            self.dealer.pollables[0].poll(left * 1000)
            for received in self.dealer.receive(100):
                assert not isinstance(received, ProtocolError), received
                self._ready.append(received)

    def rest(self, seconds: float) -> Iterator[Message]:
        """What comes until nothing has come for that long."""
        while True:
            try:
                yield self.next(seconds)
            except AssertionError:
                return

    def expect(self, kind: Type, seconds: float = PATIENCE_S) -> Message:
        """The next message, which must be of this type."""
        message = self.next(seconds)
        assert message.type is kind, message
        return message

    def close(self) -> None:
        """Close its sockets, as the end of a process does."""
        self.dealer.close()

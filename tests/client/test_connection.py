"""client/connection.py, engine.py and channels.py against a scripted broker: a raw
ROUTER that answers as the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from storagebus.broker.messages import (
    Farewell,
    Hello,
    Operation,
    Reason,
    Result,
    Welcome,
    pack,
    parse,
)
from storagebus.broker.wire import Message, Type, decode, encode
from storagebus.client import Client, channels
from storagebus.drivers.errors import (
    AccessDeniedError,
    DataLossError,
    DeadlineExceededError,
    Executed,
    IncompatibleVersionError,
    StorageError,
    UnavailableError,
)

EPOCH = 77

Answer = Callable[[Message], list[Message]]


class ScriptedBroker:
    """A ROUTER on a thread.

    Args:
        endpoint: where to bind it.
        answer: what to say to a message of a stream.
        greeting: what to say to a HELLO; a WELCOME by default.
    """

    def __init__(
        self, endpoint: str, answer: Answer, greeting: Message | None = None
    ) -> None:
        welcome = Welcome("scripted", 1, 1 << 20, 200, 100)
        self._greeting = greeting or Message(
            Type.WELCOME, epoch=EPOCH, fields=pack(welcome)
        )
        self._answer = answer
        self.hellos: list[Hello] = []
        self.messages: list[Message] = []
        self.silent = False
        self.welcomes = True
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(endpoint)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)
        self._router.close(0)
        self._context.term()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._router.poll(20):
                continue
            peer, *frames = self._router.recv_multipart()
            message = decode(frames, from_broker=False)
            for reply in self._replies(message):
                self._router.send_multipart([peer, *encode(reply)])

    def _replies(self, message: Message) -> list[Message]:
        if message.type is Type.HELLO:
            self.hellos.append(parse(Hello, message.fields))
            return [self._greeting] if self.welcomes else []
        self.messages.append(message)
        if self.silent:
            return []
        if message.type is Type.PING:
            return [Message(Type.PONG, offset=message.offset, epoch=EPOCH)]
        if message.type is Type.OPEN:
            return self._answer(message)
        return []


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/b"


@pytest.fixture
def scripted(endpoint: str) -> Iterator[Callable[..., ScriptedBroker]]:
    made: list[ScriptedBroker] = []

    def make(answer: Answer, greeting: Message | None = None) -> ScriptedBroker:
        made.append(ScriptedBroker(endpoint, answer, greeting))
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


Make = Callable[..., ScriptedBroker]


def result(opened: Message, **more: object) -> list[Message]:
    fields = pack(Result(path="/x", size=3))
    reply = Message(Type.RESULT, opened.stream, epoch=EPOCH, fields=fields)
    return [reply._replace(**more)]


def nothing(opened: Message) -> list[Message]:
    return []


def test_the_greeting_says_who_it_is(scripted: Make, endpoint: str) -> None:
    broker = scripted(result)
    with Client(endpoint, deadline=5.0) as client:
        assert client.stat("/x").size == 3
        assert client.stat("/x").size == 3  # this one by a channel of its own
    hello = broker.hellos[0]
    assert (hello.role, hello.protocol) == ("client", (1, 1))
    boots = [hello.boot for hello in broker.hellos]
    assert len(set(boots)) == len(boots) == 2
    opens = [m for m in broker.messages if m.type is Type.OPEN]
    assert [m.code for m in opens] == [Operation.STAT] * 2
    assert all(0 < m.budget_ms <= 5_000 for m in opens)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.stat("/x"),
        lambda c: c.get_content("/x"),
        lambda c: c.put_content("/x", b"1"),
        lambda c: c.put_content("/x", bytes(100_000)),
        lambda c: c.reader("/x"),
        lambda c: c.writer("/x"),
        lambda c: c.list("/"),
        lambda c: c.walk("/"),
        lambda c: c.move("/x", "/y"),
        lambda c: c.delete("/x"),
        lambda c: c.redirect_url("/x"),
        lambda c: c.upload_status("/x", "u"),
        lambda c: c.capabilities,
    ],
)
def test_every_call_ends_though_nobody_answers(
    scripted: Make, endpoint: str, call: Callable[[Client], object]
) -> None:
    scripted(nothing)
    with Client(endpoint, deadline=0.3) as client:
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            call(client)
        assert time.monotonic() - started < 10  # other limits are 30 s


def test_a_broker_that_falls_silent_is_lost(scripted: Make, endpoint: str) -> None:
    """The deadline leaves time to look whether the delete has run; nobody can say."""
    broker = scripted(nothing)
    broker.silent = True
    with Client(endpoint, deadline=5.0) as client:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="silent") as caught:
            client.delete("/x")
        assert caught.value.executed is Executed.MAYBE
        assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("reason", "cls"),
    [(Reason.VERSION, IncompatibleVersionError), (Reason.REFUSED, AccessDeniedError)],
)
def test_a_refusal_is_said_at_once(
    scripted: Make, endpoint: str, reason: Reason, cls: type[StorageError]
) -> None:
    fields = pack(Farewell("you speak 1 to 1, this broker 2 to 3"))
    scripted(nothing, Message(Type.GOAWAY, code=reason, fields=fields))
    with Client(endpoint, deadline=30.0) as client:
        started = time.monotonic()
        with pytest.raises(cls, match="this broker 2 to 3"):
            client.stat("/x")
        assert time.monotonic() - started < 5.0


def test_a_gap_in_a_download_is_data_loss(scripted: Make, endpoint: str) -> None:
    def answer(opened: Message) -> list[Message]:
        accept = Message(Type.ACCEPT, opened.stream, epoch=EPOCH)
        data = Message(Type.DATA, opened.stream, epoch=EPOCH, payload=b"abc")
        end = Message(Type.RESULT, opened.stream, offset=9, epoch=EPOCH)
        return [accept, data, end]

    scripted(answer)
    with Client(endpoint, deadline=5.0) as client:
        with pytest.raises(DataLossError):
            client.get_content("/x")
        with client.reader("/x") as stream, pytest.raises(DataLossError):
            stream.read()


def test_a_session_that_the_broker_forgot_is_made_anew(
    scripted: Make, endpoint: str
) -> None:
    calls = 0

    def answer(opened: Message) -> list[Message]:
        nonlocal calls
        calls += 1
        if calls == 2:
            return [Message(Type.GOAWAY, code=Reason.UNKNOWN_PEER, epoch=opened.epoch)]
        return result(opened)

    broker = scripted(answer)
    with Client(endpoint, deadline=10.0) as client:
        for _ in range(4):
            assert client.stat("/x").size == 3  # a stat may be repeated
    assert calls == 5
    assert len(broker.hellos) == 3


def test_a_broker_of_nonsense_costs_an_error_and_no_thread(
    scripted: Make, endpoint: str
) -> None:
    def answer(opened: Message) -> list[Message]:
        return result(opened, fields=b"\xc1garbage")

    scripted(answer)
    with Client(endpoint, deadline=1.0) as client:
        for _ in range(2):
            with pytest.raises(StorageError):
                client.stat("/x")


def test_threads_beyond_the_channels_use_the_io_thread(
    scripted: Make, endpoint: str
) -> None:
    broker = scripted(result)
    with Client(endpoint, deadline=20.0) as client:
        client.stat("/x")
        failures: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(20):
                    assert client.stat("/x").size == 3
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert failures == []
    assert len(broker.hellos) <= 40


def test_a_channel_that_is_not_welcomed_takes_a_part_of_the_deadline(
    scripted: Make, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "GREETING_S_MAX", 30.0)
    broker = scripted(result)
    with Client(endpoint) as other, Client(endpoint, deadline=0.8) as client:
        other.stat("/x")  # the I/O thread, which they share, has a session now
        broker.welcomes, broker.silent = False, True
        began = time.monotonic()
        with pytest.raises(StorageError):
            client.stat("/x")
        assert time.monotonic() - began < 10

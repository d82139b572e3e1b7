"""broker/session.py. Its story is told by tests/transcripts/session_*.txt; here is what
holds for any story."""

from __future__ import annotations

from random import Random

import pytest
from scene import hello_of

from storagebus.broker.messages import Farewell, Reason, Welcome, pack
from storagebus.broker.session import (
    GREETING_MS,
    PAUSE_MS,
    SILENT_BEATS,
    Delivered,
    Lost,
    Opened,
    PeerSession,
    Refused,
    State,
)
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import (
    AccessDeniedError,
    Executed,
    IncompatibleVersionError,
    ProtocolError,
    UnavailableError,
)

WELCOME = pack(Welcome("b", 1, 1 << 20, 1000, 10))


def opened(role: str = "worker") -> PeerSession:
    session = PeerSession(hello_of("p", role))
    session.connected(0.0)
    session.received(Message(Type.WELCOME, epoch=7, fields=WELCOME), 0.0)
    assert session.state is State.OPEN
    return session


def anything(chance: Random) -> Message:
    kind = chance.choice(list(Type))
    fields = b""
    if kind is Type.WELCOME:
        fields = chance.choice([WELCOME, WELCOME, b""])
    elif kind is Type.GOAWAY:
        fields = pack(Farewell("x"))
    code = int(chance.choice([Reason.UNKNOWN_PEER, Reason.PROTOCOL, Reason.SHUTDOWN]))
    stream = 1 if kind >= Type.OPEN else 0
    epoch = chance.choice([0, 7, 7, 8])
    return Message(kind, stream, code=code, epoch=epoch, fields=fields)


@pytest.mark.parametrize("seed", range(200))
def test_invariants(seed: int) -> None:
    """Opened and Lost alternate, work arrives only between them, tick never spins."""
    chance = Random(seed)
    session = PeerSession(hello_of("p", chance.choice(["client", "worker"])))
    now, is_open = 0.0, False
    for _ in range(60):
        now += chance.choice([0.0, 0.1, 1.0, 6.0])
        events = []
        match chance.randrange(6):
            case 0:
                if session.state is State.DOWN:
                    session.connected(now)
            case 1:
                events = session.disconnected(now)
            case 2:
                due = session.next_deadline(now)
                messages, events = session.tick(now)
                if due is not None and due <= now:
                    assert messages or events
                    after = session.next_deadline(now)
                    assert after is None or after > now
            case 3:
                session.wait(chance.random() < 0.5, now)
            case _:
                try:
                    events = session.received(anything(chance), now)[1]
                except ProtocolError:
                    pass  # the owner greets anew
        for event in events:
            match event:
                case Opened():
                    assert not is_open
                    is_open = True
                case Lost():
                    assert is_open
                    is_open = False
                case Delivered(message):
                    assert is_open
                    assert message.epoch == session.epoch
        assert is_open == (session.state is State.OPEN) == bool(session.epoch)
        assert (session.welcome is not None) == is_open


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.VERSION, IncompatibleVersionError),
        (Reason.REFUSED, AccessDeniedError),
    ],
)
def test_final_refusals(reason: Reason, error: type) -> None:
    session = PeerSession(hello_of("p", "worker"))
    session.connected(0.0)
    fields = pack(Farewell("protocol 2 there, 1 here"))
    goaway = Message(Type.GOAWAY, code=int(reason), fields=fields)
    _, events = session.received(goaway, 0.0)
    (refused,) = events
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, error)
    assert "protocol 2 there, 1 here" in str(refused.error)
    assert session.next_deadline(100.0) is None
    assert session.connected(1.0) == []


def test_loss_leaves_open_whether_work_ran() -> None:
    (lost,) = opened().disconnected(1.0)
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, UnavailableError)
    assert lost.error.executed is Executed.MAYBE


@pytest.mark.parametrize("role", ["client", "worker"])
def test_a_late_welcome_does_not_bring_an_aborted_session_back(role: str) -> None:
    """HELLO was said twice. The broker has heard nothing of the end of the session, so
    that it has streams which this side has not."""
    session = PeerSession(hello_of("p", role))
    session.connected(0.0)
    session.tick(GREETING_MS / 1000)
    welcome = Message(Type.WELCOME, epoch=7, fields=WELCOME)
    session.received(welcome, 1.1)
    session.abort(Reason.PROTOCOL, "the broker takes no messages", 1.1)
    assert session.received(welcome, 1.2) == ([], [])
    assert session.state is State.GREETING
    (hello,), _ = session.tick(1.1 + PAUSE_MS / 1000)
    assert hello.type is Type.HELLO
    # The broker decides which session that is: perhaps nothing was done in this one.
    _, events = session.received(welcome, 2.2)
    assert [type(event) for event in events] == [Opened]


def test_an_aborted_session_may_have_been_replaced() -> None:
    session = opened()
    session.abort(Reason.PROTOCOL, "nonsense", 1.0)
    replaced = Message(Type.WELCOME, epoch=8, fields=WELCOME)
    _, events = session.received(replaced, 1.1)
    assert [type(event) for event in events] == [Opened]
    assert session.epoch == 8


def test_silence_is_bounded() -> None:
    session = opened()
    now = 0.0
    while session.state is State.OPEN:
        due = session.next_deadline(now)
        assert due is not None
        now = due
        session.tick(now)
        assert now < 100
    assert now == SILENT_BEATS * 1.0
    assert session.next_deadline(now) == now + GREETING_MS / 1000


def test_a_client_answers_ping_and_a_worker_is_asked() -> None:
    ping = Message(Type.PING, offset=5, epoch=7)
    sent, events = opened("client").received(ping, 1.0)
    assert sent == [Message(Type.PONG, offset=5, epoch=7)]
    assert events == []
    session = opened("worker")
    sent, events = session.received(ping, 1.0)
    assert (sent, events) == ([], [Delivered(ping)])
    assert session.pong(ping, b"\x80").fields == b"\x80"


@pytest.mark.parametrize("stream", [0, 5])
def test_whatever_is_heard_answers_the_question(stream: int) -> None:
    """A stream's message is as good a sign of life as the PONG behind it."""
    session = opened("client")
    session.probe_s = 0.5
    session.wait(True, 0.0)
    assert [m.type for m in session.tick(0.5)[0]] == [Type.PING]
    assert session.asked == 0.5
    kind = Type.DATA if stream else Type.PONG
    session.received(Message(kind, stream, epoch=7), 0.9)
    assert session.asked is None
    session.tick(1.5)
    assert session.asked == 1.5

"""client/core.py: sessions with brokers, and how every operation ends exactly once."""

from __future__ import annotations

import pytest
from client_scene import ClientScene
from hypothesis import given, settings
from hypothesis import strategies as st

from storagebus.broker.messages import Operation, Reason, Result
from storagebus.broker.session import GREETING_MS
from storagebus.broker.wire import Message, Type, pack_map
from storagebus.client.brokers import TOMBSTONES_MAX
from storagebus.client.core import WAITING_MAX
from storagebus.client.requests import Arrived, Event, Failed, Finished
from storagebus.drivers.errors import (
    AccessDeniedError,
    BusyError,
    CancelledError,
    DeadlineExceededError,
    Executed,
    IncompatibleVersionError,
    PathNotFoundError,
    ProtocolError,
    UnavailableError,
)


def test_a_call_and_its_answer() -> None:
    scene = ClientScene()
    scene.connect()
    scene.take()
    (opened,) = scene.open("k", Operation.STAT, budget_s=10.0)
    assert opened.type is Type.OPEN
    assert opened.code == Operation.STAT
    assert opened.epoch == scene.core.brokers[0].session.epoch
    # A little less than ours, so that the better answer comes before our own.
    assert 9_000 <= opened.budget_ms < 10_000
    scene.say(Type.RESULT, opened.stream, content=Result(size=5, path="/a"))
    assert scene.finished("k").result.size == 5
    assert len(scene.core) == 0


def test_an_error_is_told_with_all_its_fields() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("k")
    scene.fail(1, PathNotFoundError("gone", path="/a", driver="filesystem"))
    error = scene.error("k")
    assert isinstance(error, PathNotFoundError)
    assert (error.path, error.driver, error.executed) == (
        "/a",
        "filesystem",
        Executed.NO,
    )


def test_what_is_opened_before_the_session_waits_for_it() -> None:
    scene = ClientScene()
    assert scene.open("early") == []
    scene.after(scene.core.connected(0, scene.now))
    assert scene.open("later") == []
    scene.pass_time(0.5)
    scene.welcome()
    sent = [m for m in scene.take() if m.type is Type.OPEN]
    assert [m.stream for m in sent] == [1, 2]
    assert sent[0].budget_ms < 9_500  # the wait counts


def test_without_a_broker_the_error_says_what_to_check() -> None:
    scene = ClientScene(brokers=2)
    scene.open("k", budget_s=3.0)
    scene.pass_time(2.9)
    assert scene.events("k") == []
    scene.pass_time(0.2)
    error = scene.error("k")
    assert isinstance(error, UnavailableError)
    assert error.executed is Executed.NO
    for endpoint in scene.endpoints:
        assert endpoint in str(error)
    assert "check that the broker runs" in str(error)


def test_waiting_operations_are_bounded() -> None:
    scene = ClientScene()
    for number in range(WAITING_MAX):
        scene.open(f"k{number}")
    scene.open("one too many")
    assert isinstance(scene.error("one too many"), BusyError)
    assert scene.error("one too many").executed is Executed.NO


def test_the_brokers_limit_of_streams_is_kept() -> None:
    scene = ClientScene(streams_max=3)
    scene.connect()
    for key in "abcd":
        scene.open(key)
    assert isinstance(scene.error("d"), BusyError)
    assert scene.error("d").executed is Executed.NO
    scene.say(Type.RESULT, 1, content=Result())
    scene.open("e")
    assert scene.events("e") == []


def test_every_call_ends_by_its_deadline() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("k", budget_s=2.0)
    scene.take()
    scene.pass_time(1.99)
    assert scene.events("k") == []
    # The broker answers pings, so that only the call is at fault.
    scene.say(Type.PONG, 0, offset=1)
    scene.pass_time(0.02)
    error = scene.error("k")
    assert isinstance(error, DeadlineExceededError)
    assert error.executed is Executed.MAYBE
    assert [m.type for m in scene.take() if m.stream] == [Type.CANCEL]


def test_a_late_answer_is_ignored_and_frees_its_place() -> None:
    scene = ClientScene(streams_max=1)
    scene.connect()
    scene.open("k", budget_s=0.5)
    scene.pass_time(0.6)
    scene.open("next")
    assert isinstance(scene.error("next"), BusyError)  # the broker still has "k"
    scene.say(Type.RESULT, 1, content=Result())
    assert len(scene.events("k")) == 1
    scene.open("after")
    assert scene.events("after") == []


def test_a_broker_that_forgot_what_was_given_up_is_found_out() -> None:
    """It lost the session, and could not say so: no message reached the client."""
    scene = ClientScene(streams_max=2)
    scene.connect()
    scene.open("a", budget_s=0.5)
    scene.open("b", budget_s=0.5)
    scene.pass_time(0.6)
    scene.open("c")
    assert isinstance(scene.error("c"), BusyError)
    scene.take()
    scene.pass_time(2.0)
    assert Type.PING in [message.type for message in scene.take()]
    scene.go_away(Reason.UNKNOWN_PEER)
    scene.welcome()
    scene.open("d")
    scene.say(Type.RESULT, 3, content=Result(size=7))
    assert scene.finished("d").result.size == 7


def test_a_broker_that_owes_nothing_may_be_silent() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("k", budget_s=0.5)
    scene.pass_time(0.6)
    scene.fail(1, CancelledError("given up"))
    scene.take()
    scene.pass_time(100.0)
    assert scene.take() == []
    assert scene.core.is_open


def test_tombstones_are_bounded() -> None:
    scene = ClientScene(streams_max=100_000)
    scene.connect()
    for number in range(TOMBSTONES_MAX + 50):
        scene.open(f"k{number}")
        scene.after(scene.core.abandon(f"k{number}", scene.now))
    assert len(scene.core.brokers[0].tombstones) == TOMBSTONES_MAX
    assert len(scene.core) == 0
    assert all(scene.events(f"k{number}") == [] for number in range(TOMBSTONES_MAX))


def test_timers_of_ended_operations_do_not_gather() -> None:
    scene = ClientScene()
    scene.connect()
    for number in range(2_000):
        scene.open(f"k{number}", budget_s=60.0)
        scene.say(Type.RESULT, number + 1, content=Result())
    assert len(scene.core._timers) < 200


@pytest.mark.parametrize("how", ["connection", "goodbye", "unknown", "silence"])
def test_a_lost_session_fails_its_operations_as_maybe_executed(how: str) -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("k", budget_s=60.0)
    scene.open("download", Operation.READ, budget_s=60.0, window=1_000)
    if how == "connection":
        scene.lose()
    elif how == "goodbye":
        scene.go_away(Reason.SHUTDOWN)
    elif how == "unknown":
        scene.go_away(Reason.UNKNOWN_PEER)
    else:
        scene.pass_time(6.0)
    for key in ("k", "download"):
        error = scene.error(key)
        assert isinstance(error, UnavailableError)
        assert error.executed is Executed.MAYBE
        assert error.temporary
    assert scene.error("k") is not scene.error("download")
    assert len(scene.core) == 0


def test_after_a_loss_the_client_greets_again_with_new_ids() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("a")
    scene.lose()
    scene.connect()
    (opened,) = scene.open("b")
    assert opened.stream == 2
    assert opened.epoch == scene.core.brokers[0].session.epoch
    scene.say(Type.RESULT, 2, content=Result(size=7))
    assert scene.finished("b").result.size == 7


def test_messages_of_another_session_are_ignored() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("k")
    scene.receive(Message(Type.RESULT, 1, epoch=7))
    scene.receive(Message(Type.RESULT, 1, epoch=0))
    assert scene.events("k") == []


def test_a_message_that_was_not_taken_was_not_executed() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("before")
    (opened,) = scene.open("k")
    scene.after(scene.core.unsent(0, [opened], scene.now))
    assert scene.error("k").executed is Executed.NO
    assert scene.error("before").executed is Executed.MAYBE
    # A greeting that was not taken is repeated, and no reason to give up anything.
    scene.pass_time(GREETING_MS / 1000 + 0.1)
    hello = [m for m in scene.take() if m.type is Type.HELLO][-1]
    assert scene.after(scene.core.unsent(0, [hello], scene.now)) == []


@pytest.mark.parametrize(
    "message",
    [
        Message(Type.DATA, 1, payload=b"x"),
        Message(Type.CREDIT, 1, limit=5),
        Message(Type.RESULT, 1, fields=b"\x91\x01"),
        Message(Type.RESULT, 1, fields=pack_map({"size": "large"})),
        Message(Type.ERROR, 1, 10, fields=b"\x91\x01"),
        Message(Type.ACCEPT, 1),
    ],
    ids=lambda message: f"{message.type.name}-{bytes(message.fields).hex()}",
)
def test_nonsense_of_a_worker_ends_its_stream_and_no_other(message: Message) -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("k")
    scene.open("of another worker")
    scene.take()
    epoch = scene.core.brokers[0].session.epoch
    scene.receive(message._replace(epoch=epoch))
    assert isinstance(scene.error("k"), ProtocolError)
    assert scene.core.is_open
    assert scene.events("of another worker") == []
    goes_on = message.type not in (Type.RESULT, Type.ERROR)
    assert [m.type for m in scene.take()] == [Type.CANCEL] * goes_on


def test_nonsense_of_a_broker_ends_the_session_and_it_begins_anew() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("k")
    scene.take()
    epoch = scene.core.brokers[0].session.epoch
    scene.receive(Message(Type.WELCOME, epoch=epoch + 1, fields=b"\x91\x01"))
    assert isinstance(scene.error("k"), UnavailableError)
    farewell = scene.take()[0]
    assert (farewell.type, farewell.code) == (Type.GOAWAY, Reason.PROTOCOL)
    assert not scene.core.is_open
    scene.pass_time(2.0)
    assert Type.HELLO in [m.type for m in scene.take()]
    scene.welcome()
    assert scene.core.is_open


def test_a_frame_that_cannot_be_decoded_ends_the_session() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("k")
    scene.after(scene.core.broken(0, ProtocolError("no magic"), scene.now))
    assert "no magic" in str(scene.error("k"))


@pytest.mark.parametrize(
    ("reason", "cls"),
    [
        (Reason.VERSION, IncompatibleVersionError),
        (Reason.REFUSED, AccessDeniedError),
    ],
)
def test_a_refusal_is_said_at_once(reason: Reason, cls: type[Exception]) -> None:
    scene = ClientScene()
    scene.open("waiting")
    scene.after(scene.core.connected(0, scene.now))
    scene.go_away(reason, detail="you speak 1, I speak 9")
    scene.open("new")
    for key in ("waiting", "new"):
        error = scene.error(key)
        assert isinstance(error, cls)
        assert "you speak 1, I speak 9" in str(error)
        assert scene.endpoints[0] in str(error)
        assert error.executed is Executed.NO
    # A new connection may lead to another broker.
    scene.lose()
    scene.connect()
    scene.open("again")
    assert scene.events("again") == []


def test_a_refusal_of_one_broker_leaves_the_other() -> None:
    scene = ClientScene(brokers=2)
    scene.open("k")
    scene.after(scene.core.connected(0, scene.now))
    scene.go_away(Reason.REFUSED)
    assert scene.events("k") == []
    scene.take()
    scene.connect(1)
    assert [i for i, m in scene.sent if m.type is Type.OPEN] == [1]


def test_the_preferred_broker_that_answers_is_used_while_it_does() -> None:
    scene = ClientScene(brokers=3)
    scene.connect(1)
    scene.open("a")
    scene.connect(0)
    scene.open("b")
    assert [i for i, m in scene.sent if m.type is Type.OPEN] == [1, 0]
    assert scene.core.current == scene.endpoints[0]
    scene.lose(0)
    assert scene.core.current == scene.endpoints[1]
    assert isinstance(scene.error("b"), UnavailableError)
    assert scene.events("a") == []
    scene.sent.clear()
    scene.open("c")
    scene.connect(0)
    scene.open("d")
    assert [i for i, m in scene.sent if m.type is Type.OPEN] == [1, 1]
    assert scene.core.current == scene.endpoints[1]


def test_a_loss_of_one_broker_leaves_the_operations_of_the_other() -> None:
    scene = ClientScene(brokers=2)
    scene.connect(0)
    scene.open("a")
    scene.connect(1)
    scene.lose(1)
    assert scene.events("a") == []


def test_silence_matters_only_with_open_operations() -> None:
    scene = ClientScene()
    scene.connect()
    scene.take()
    scene.pass_time(100.0)
    assert scene.take() == []
    assert scene.core.next_deadline(scene.now) == float("inf")
    scene.open("k", budget_s=1.0)
    scene.say(Type.RESULT, 1, content=Result())
    scene.take()
    scene.pass_time(100.0)
    assert scene.take() == []


def test_the_time_that_no_broker_answered_is_told_as_it_was_meant() -> None:
    scene = ClientScene()
    scene.open("k", budget_s=0.999965)
    scene.pass_time(1.5)
    assert "within 1 s; check that" in str(scene.error("k"))


def test_closing_ends_everything_and_takes_leave() -> None:
    scene = ClientScene()
    scene.connect()
    scene.open("a")
    scene.take()
    scene.after(scene.core.close(scene.now))
    assert [m.type for m in scene.take()] == [Type.GOAWAY]
    assert isinstance(scene.error("a"), CancelledError)
    scene.open("b")
    assert isinstance(scene.error("b"), CancelledError)
    assert scene.error("b").executed is Executed.NO


def ends_of(scene: ClientScene, key: str) -> list[Event]:
    """The terminal events of an operation."""
    return [e for e in scene.events(key) if isinstance(e, (Finished, Failed))]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "open",
                "read",
                "write",
                "accept",
                "data",
                "result",
                "error",
                "lose",
                "connect",
                "tick",
                "end",
                "abandon",
                "consume",
                "credit",
                "refuse",
                "garbage",
            ]
        ),
        st.integers(0, 5),
        st.integers(0, 3_000),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens_every_operation_ends_exactly_once(
    steps: list[tuple[str, int, int]],
) -> None:
    scene = ClientScene(streams_max=8)
    keys: list[str] = []
    abandoned: set[str] = set()
    for number, (what, which, size) in enumerate(steps):
        key = keys[which % len(keys)] if keys else ""
        stream = which + 1
        if what in ("open", "read", "write"):
            keys.append(f"k{number}")
            kinds = {
                "open": Operation.STAT,
                "read": Operation.READ,
                "write": Operation.WRITE,
            }
            scene.open(keys[-1], kinds[what], budget_s=5.0, window=2_000)
        elif what == "accept":
            scene.say(Type.ACCEPT, stream, limit=size)
        elif what == "data":
            scene.say(Type.DATA, stream, payload=b"x" * (size % 1_000 + 1))
        elif what == "credit":
            scene.say(Type.CREDIT, stream, limit=size)
        elif what == "result":
            scene.say(Type.RESULT, stream, content=Result())
        elif what == "error":
            scene.fail(stream, UnavailableError("x"))
        elif what == "lose":
            scene.lose()
        elif what == "connect":
            scene.connect()
        elif what == "refuse":
            scene.go_away(Reason.REFUSED)
        elif what == "garbage":
            scene.after(scene.core.broken(0, ProtocolError("x"), scene.now))
        elif what == "tick":
            scene.pass_time(size / 1_000)
        elif key and key not in abandoned:
            if what == "consume":
                scene.consumed(key, 1)
            elif what == "abandon":
                if not ends_of(scene, key):
                    abandoned.add(key)
                scene.after(scene.core.abandon(key, scene.now))
            elif scene.core.brokers[0].is_open and any(
                type(e).__name__ == "Accepting" for e in scene.events(key)
            ):
                scene.write(key, b"y" * size)
                scene.end(key, (Type.COMMIT, Type.DETACH, Type.CANCEL)[size % 3])
    # A consumer that never comes back is the one thing that may keep a download.
    for key in keys:
        arrived = sum(
            len(e.payload) for e in scene.events(key) if isinstance(e, Arrived)
        )
        scene.consumed(key, arrived)
    scene.pass_time(2_000.0)
    for key in keys:
        ends = ends_of(scene, key)
        idle_upload = (
            any(type(e).__name__ == "Accepting" for e in scene.events(key)) and not ends
        )
        if key in abandoned:
            assert ends == []
        elif not idle_upload:
            assert len(ends) == 1, key
            assert scene.events(key)[-1] is ends[0]

"""The worker's ends of call lanes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from storagebus.broker.messages import Operation
from storagebus.broker.packets import from_packet, to_packet
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import ProtocolError
from storagebus.workers import calllanes
from storagebus.workers.calllanes import LANE_S_MAX, CallLanes

STAT = Message(Type.OPEN, 1, Operation.STAT, offset=5, budget_ms=9)
ANSWER = Message(Type.RESULT, 1, payload=b"x" * 60_000)


@pytest.fixture
def lanes() -> Iterator[CallLanes]:
    made = CallLanes()
    yield made
    made.close()


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.settimeout(5)
    return ours, theirs


def test_a_call_and_its_answer(lanes: CallLanes) -> None:
    ours, theirs = pair()
    assert lanes.admit(ours, 0.0)
    assert list(lanes.receive()) == []
    theirs.send(b"".join(to_packet(STAT)))
    [(lane, message)] = lanes.receive()
    assert message == STAT
    assert lanes.send(lane, ANSWER)
    assert from_packet(theirs.recv(100_000)) == ANSWER
    theirs.close()
    assert list(lanes.receive()) == [(lane, None)]
    lanes.drop(lane)
    lanes.drop(lane)
    assert lanes.numbers() == []
    assert lanes.send(lane, ANSWER)  # nobody is there to be dropped


def test_what_is_no_message_is_told(lanes: CallLanes) -> None:
    ours, theirs = pair()
    lanes.admit(ours, 0.0)
    theirs.send(b"GET / HTTP/1.1\r\n\r\n")
    [(_, error)] = lanes.receive()
    assert isinstance(error, ProtocolError)
    theirs.send(bytes(100_000))
    [(_, error)] = lanes.receive()
    assert isinstance(error, ProtocolError)
    theirs.close()


def test_descriptors_that_come_along_are_not_kept(lanes: CallLanes) -> None:
    ours, theirs = pair()
    lanes.admit(ours, 0.0)
    parts = [bytes(part) for part in to_packet(STAT)]
    socket.send_fds(theirs, parts, [0, 1, 2])
    assert [message for _, message in lanes.receive()] == [STAT]
    theirs.close()


def test_who_does_not_read_is_told_nothing_more(lanes: CallLanes) -> None:
    ours, theirs = pair()
    lanes.admit(ours, 0.0)
    lane = ours.fileno()
    sent = 0
    while lanes.send(lane, ANSWER):
        sent += 1
        assert sent < 1_000
    assert sent >= 1
    theirs.close()


def test_a_bounded_number(lanes: CallLanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calllanes, "LANES_MAX", 3)
    pairs = [pair() for _ in range(5)]
    assert [lanes.admit(ours, 0.0) for ours, _ in pairs] == [True] * 3 + [False] * 2
    assert len(lanes) == 3
    for _, theirs in pairs[3:]:
        assert theirs.recv(1) == b""
    for _, theirs in pairs:
        theirs.close()


def test_many_are_served_in_turns(
    lanes: CallLanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calllanes, "BATCH_CALLS", 4)
    pairs = [pair() for _ in range(10)]
    for ours, theirs in pairs:
        lanes.admit(ours, 0.0)
        theirs.send(b"".join(to_packet(STAT)))
    heard: list[int] = []
    for _ in range(3):
        heard += [lane for lane, _ in lanes.receive()]
    assert sorted(heard) == sorted(ours.fileno() for ours, _ in pairs)
    for _, theirs in pairs:
        theirs.close()


def test_an_old_lane_is_told_once(lanes: CallLanes) -> None:
    first, second, third = pair(), pair(), pair()
    lanes.admit(first[0], 1.0)
    lanes.admit(second[0], 1.0)
    lanes.admit(third[0], 2.0)
    number = first[0].fileno()
    lanes.drop(second[0].fileno())
    assert list(lanes.aged(0.9 + LANE_S_MAX)) == []
    assert list(lanes.aged(1.0 + LANE_S_MAX)) == [number]
    assert list(lanes.aged(1.0 + LANE_S_MAX)) == []
    for _, theirs in (first, second, third):
        theirs.close()

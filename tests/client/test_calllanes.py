"""The client's ends of call lanes, and the pool of them."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from storagebus.broker.lanes import WORD, abstract_name, new_address
from storagebus.broker.messages import LANE_CALLS, Operation, Result, make
from storagebus.broker.packets import Span, from_packet, to_packet
from storagebus.broker.wire import Message, Payload, Type
from storagebus.client import calllanes
from storagebus.client.calllanes import (
    CALLS_FIRST,
    LANE_S_MAX,
    LANES_MAX,
    SKIPS_MAX,
    VAIN_MAX,
    VAIN_S,
    Answer,
    CallLane,
    LanePool,
    knock,
)
from storagebus.client.waiting import run_now
from storagebus.drivers.errors import ProtocolError

STAT, READ = Operation.STAT, Operation.READ


class Worker:
    """The other end of a lane, on a thread."""

    def __init__(self, answer: Callable[[Message], bytes | None]) -> None:
        self.ours, self._theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        self.asked: list[Message] = []
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self.ours.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with self._theirs as theirs, suppress(ConnectionError):
            theirs.send(WORD)
            while packet := theirs.recv(100_000):
                self.asked.append(from_packet(packet))
                answer = self._answer(self.asked[-1])
                if answer is None:
                    return
                if answer:
                    theirs.send(answer)


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(answer: Callable[[Message], bytes | None]) -> Worker:
        workers.append(Worker(answer))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def echo(message: Message) -> bytes:
    answer = Message(Type.RESULT, message.stream, payload=message.payload)
    return b"".join(to_packet(answer))


def ask(lane: CallLane, payload: bytes = b"") -> Message | None:
    answer = run_now(lane.ask(Operation.PUT, b"", payload, False))
    return None if answer is None else answer.message


def test_calls_one_after_another(start: Callable[..., Worker]) -> None:
    worker = start(echo)
    lane = CallLane(worker.ours)
    for number in range(1, 50):
        before = time.monotonic()
        answer = ask(lane, b"%d" % number)
        assert answer is not None and answer.payload == b"%d" % number
        sent = Span.of(worker.asked[-1]).sent
        assert before - 0.001 <= sent <= time.monotonic()
        assert worker.asked[-1].stream == number
    assert not lane.closed
    lane.close()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"nonsense",
        b"L",
        b"".join(to_packet(Message(Type.RESULT, 99))),
        b"".join(to_packet(Message(Type.PROGRESS, 1))),
    ],
)
def test_what_is_no_answer_closes_the_lane(
    start: Callable[..., Worker], answer: bytes | None
) -> None:
    lane = CallLane(start(lambda message: answer).ours)
    assert ask(lane) is None
    assert lane.closed


def test_a_worker_that_says_nothing_is_left(
    start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calllanes, "PATIENCE_S", 0.2)
    lane = CallLane(start(lambda message: b"").ours)
    began = time.monotonic()
    assert ask(lane) is None
    assert time.monotonic() - began >= 0.2
    assert lane.closed
    assert ask(lane) is None  # and stays so


def test_a_timer_does_not_prolong_the_wait(
    start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calllanes, "PATIENCE_S", 0.5)
    lane = CallLane(start(lambda message: b"").ours)
    rung: list[float] = []
    began = time.monotonic()

    def ring(*_: object) -> None:
        rung.append(time.monotonic() - began)
        assert rung[-1] < 5, "the lane waits for ever"

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        assert ask(lane) is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(rung) >= 3


def test_a_caller_that_is_interrupted_leaves_no_answer_behind(
    start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = CallLane(start(echo).ours)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calllanes, "answer_in", interrupt)
    monkeypatch.setattr(calllanes, "send", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask(lane)
    assert lane.closed


class FakeLane:
    def __init__(self, connection: object = None) -> None:
        self.old_at = time.monotonic() + LANE_S_MAX
        self.closed = False

    def is_good(self, now: float) -> bool:
        return not self.closed and now < self.old_at

    async def ask(
        self, operation: int, fields: bytes, payload: Payload, takes_file: bool
    ) -> Answer | None:
        raise AssertionError

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> LanePool:
    monkeypatch.setattr(calllanes, "knock", lambda offer: offer)
    return LanePool(FakeLane)


OFFER = make(Result, lane=LANE_CALLS)


def test_lanes_are_lent_and_given_back(pool: LanePool) -> None:
    now = time.monotonic()
    assert pool.lease(STAT, now) is None
    pool.admit(OFFER)
    lane = pool.lease(STAT, now)
    assert lane is not None
    assert pool.lease(STAT, now) is None
    pool.give_back(lane)
    assert pool.lease(READ, now) is lane
    lane.close()
    pool.give_back(lane)
    assert pool.lease(STAT, now) is None


def test_a_lane_is_used_for_a_while(pool: LanePool) -> None:
    pool.admit(OFFER)
    lane = pool.lease(STAT, time.monotonic())
    assert lane is not None
    pool.give_back(lane)
    assert pool.lease(STAT, time.monotonic() + LANE_S_MAX) is None
    assert lane.closed


def test_idle_lanes_are_closed_when_they_are_old(
    pool: LanePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    pool.admit(OFFER)
    pool.admit(OFFER)
    used, idle = pool.lease(STAT, now), pool.lease(STAT, now)
    assert isinstance(used, FakeLane) and idle is not None
    pool.give_back(idle)
    used.old_at += 100
    monkeypatch.setattr(time, "monotonic", lambda: now + LANE_S_MAX + 1)
    pool.give_back(used)
    assert idle.closed and not used.closed and pool.count == 1


def test_when_a_lane_is_asked_for(pool: LanePool) -> None:
    now = time.monotonic()
    assert [pool.wants(now) for _ in range(CALLS_FIRST + 1)] == [False, False, True]
    pool.admit(OFFER)
    assert not pool.wants(now)  # one is free
    lanes = [pool.lease(STAT, now)]
    while pool.wants(now):
        pool.admit(OFFER)
        lanes.append(pool.lease(STAT, now))
    assert len(lanes) == LANES_MAX
    for lane in lanes:
        assert lane is not None
        pool.give_back(lane)


def test_the_first_call_may_ask(pool: LanePool) -> None:
    assert pool.wants(0.0, 0)


def test_who_gets_none_asks_less(pool: LanePool) -> None:
    assert sum(pool.wants(5.0, 0) for _ in range(1_000)) == VAIN_MAX + 1
    assert pool.wants(5.0 + VAIN_S, 0)


def test_what_is_declined_goes_by_the_bus_for_a_while(pool: LanePool) -> None:
    now = time.monotonic()
    pool.admit(OFFER)
    pool.declined(STAT, now + 1)
    assert pool.lease(STAT, now + 0.99) is None
    lane = pool.lease(READ, now + 0.5)
    assert lane is not None
    pool.give_back(lane)
    assert pool.lease(STAT, now + 1) is lane


def test_reads_of_what_is_large_try_less_and_less(pool: LanePool) -> None:
    now = time.monotonic()
    pool.admit(OFFER)
    tried = 0
    for _ in range(1_000):
        lane = pool.lease(READ, now)
        if lane is not None:
            tried += 1
            pool.too_large(READ)
            pool.give_back(lane)
    assert 1_000 / (SKIPS_MAX + 1) - 1 < tried < 1_000 / SKIPS_MAX + 10
    while (lane := pool.lease(READ, now)) is None:
        pass
    pool.fitted(READ)
    pool.give_back(lane)
    assert pool.lease(READ, now) is lane


def test_a_closed_pool_keeps_none(pool: LanePool) -> None:
    now = time.monotonic()
    pool.admit(OFFER)
    pool.admit(OFFER)
    lent, idle = pool.lease(STAT, now), pool.lease(STAT, now)
    assert lent is not None and idle is not None
    pool.give_back(idle)
    pool.close()
    assert idle.closed and not lent.closed
    pool.give_back(lent)
    assert lent.closed
    pool.admit(OFFER)
    assert pool.lease(STAT, now) is None and not pool.wants(now, 0)


def offer(address: str) -> Result:
    return make(Result, lane=LANE_CALLS, lane_address=address, lane_token=b"t" * 16)


@pytest.mark.parametrize(
    "address", ["", "/tmp/x", "@other", "@storagebus-lane-/../x", new_address()]
)
def test_no_other_address_is_knocked_at(address: str) -> None:
    with pytest.raises((OSError, ProtocolError)):
        knock(offer(address))


def test_another_users_door_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    address = new_address()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        name = abstract_name(address)
        assert name is not None
        door.bind(name)
        door.listen()
        knock(offer(address)).close()
        monkeypatch.setattr(calllanes, "is_own_user", lambda connection: False)
        with pytest.raises(ProtocolError, match="user"):
            knock(offer(address))
        first, second = door.accept()[0], door.accept()[0]
        assert first.recv(100) == b"t" * 16
        assert second.recv(100) == b""  # it has not seen the token
        first.close()
        second.close()


def test_a_pool_does_without_what_is_not_to_be_had() -> None:
    pool = LanePool(FakeLane)
    pool.admit(offer(new_address()))
    assert pool.lease(STAT, time.monotonic()) is None

"""Uploads by a lane: bytes that the client puts into shared memory."""

import random

import pytest
from loose_lane import Lane

from storagebus.broker.messages import Accepted, Operation, error_of, parse
from storagebus.broker.wire import Flag, Message, Type
from storagebus.drivers.errors import (
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    ProtocolError,
)
from storagebus.workers.lanes import LaneTerms

TERMS = LaneTerms("@storagebus-lane-" + 32 * "a", "this-host", 1 << 26)


@pytest.fixture
def bench(make_bench):
    made = make_bench(lanes=TERMS)
    made.join()
    made.take()
    yield made
    assert made.offers == {}
    for lane in made.lanes:
        lane.bell.close()
        lane.client.close()


class Client:
    """The sending end, which has taken the lane, or not."""

    def __init__(self, bench, take=True, **asked):
        self.bench = bench
        given = {"lane": "this-host"} | asked
        self.stream = bench.open(Operation.WRITE, "/a", **given)
        bench.run()
        accept = bench.one(Type.ACCEPT)
        self.limit = accept.limit
        self.accepted = parse(Accepted, accept.fields)
        self.sent = 0
        self.announced = False
        if take:
            self.lane = Lane(self.accepted.lane_bytes)
            bench.lanes.append(self.lane)
            self.ring, self.bell = self.lane.segment, self.lane.client
            offer = bench.offers.pop(self.accepted.lane_token)
            assert offer.writable
            bench.core.lane_taken(offer.token, self.lane, bench.now)

    def write(self, data, *, run=True):
        """Put bytes into the ring as far as credit goes, and have them written."""
        while data:
            count = min(len(data), self.limit - self.sent, self.ring.room(self.sent))
            assert count > 0, "no credit"
            self.ring.part(self.sent, count)[:] = data[:count]
            self.say(count)
            data = data[count:]
            if run:
                self.bench.run()
                self.look()

    def say(self, count):
        """Tell of the first bytes by the broker, and of all others by the bell."""
        if self.announced:
            self.bell.ring(self.sent + count)
        else:
            self.announced = True
            data = Message(Type.DATA, self.stream, offset=self.sent, lane=count)
            self.bench.give(data._replace(flags=int(Flag.WANT)))
        self.sent += count

    def look(self):
        for message in self.bench.take():
            assert message.type is Type.CREDIT
            self.limit = max(self.limit, message.limit)
        self.bell.heard()
        self.limit = max(self.limit, self.bell.mark)

    def end(self, kind):
        self.bench.give(Message(kind, self.stream, offset=self.sent))
        self.bench.run()
        *_, last = self.bench.take()
        return last


def test_the_ring_is_as_large_as_the_window(bench):
    client = Client(bench, take=False)
    assert client.accepted.lane == "memory"
    assert client.accepted.lane_bytes == client.limit
    assert client.end(Type.COMMIT).type is Type.RESULT


def test_what_lies_in_the_ring_is_written(bench):
    data = random.Random(1).randbytes(9_000_001)
    client = Client(bench)
    client.write(data)
    assert client.end(Type.COMMIT).type is Type.RESULT
    assert bench.store.objects["/a"] == data
    assert client.lane.closed
    assert client.bell.durable > 4_000_000, "the bell tells of what is durable"


def test_the_first_bytes_may_come_inline(bench):
    data = random.Random(2).randbytes(300_000)
    client = Client(bench)
    bench.give(Message(Type.DATA, client.stream, offset=0, payload=data[:1_000]))
    client.sent = 1_000
    client.write(data[1_000:])
    assert client.end(Type.COMMIT).type is Type.RESULT
    assert bench.store.objects["/a"] == data


def test_small_pieces_that_wait_are_one_write(bench):
    client = Client(bench)
    data = random.Random(3).randbytes(3_000)
    for start in range(0, 3_000, 1_000):
        client.write(data[start : start + 1_000], run=False)
    bench.run()
    client.look()
    assert client.end(Type.COMMIT).type is Type.RESULT
    assert bench.store.objects["/a"] == data
    assert len(bench.store.writers[0].writes) <= 2


@pytest.mark.parametrize("kind", [Type.DETACH, Type.CANCEL])
def test_every_end_lets_the_ring_go(bench, kind):
    client = Client(bench)
    client.write(b"x" * 100_000)
    last = client.end(kind)
    if kind is Type.CANCEL:
        assert isinstance(error_of(last), CancelledError)
    else:
        assert bench.store.kept["/a"] == b"x" * 100_000
    assert client.lane.closed


def test_the_lost_clients_ring_is_let_go_and_its_upload_kept(bench):
    client = Client(bench)
    client.write(b"x" * 100_000)
    bench.core.disconnected(0, bench.now)
    bench.look()
    bench.run()
    assert client.lane.closed
    assert bench.store.kept["/a"] == b"x" * 100_000


def test_a_lane_that_was_not_taken_is_an_offence_of_its_stream(bench):
    client = Client(bench, take=False)
    other = Client(bench)
    client.say(10)
    bench.run()
    assert isinstance(error_of(bench.one(Type.ERROR)), ProtocolError)
    other.write(b"y" * 10)
    assert other.end(Type.COMMIT).type is Type.RESULT


@pytest.mark.parametrize("announced", [0, 100])
def test_more_than_the_ring_holds_is_an_offence_of_its_stream(bench, announced):
    client = Client(bench)
    if announced:
        client.write(b"x" * announced)
    client.say(client.accepted.lane_bytes + 1)
    bench.run()
    errors = [m for m in bench.take() if m.type is Type.ERROR]
    assert isinstance(error_of(errors[0]), ProtocolError)
    assert client.lane.closed


def test_an_end_beyond_the_ring_is_an_offence_of_its_stream(bench):
    client = Client(bench)
    client.write(b"x" * 100)
    client.sent += client.accepted.lane_bytes + 1
    assert isinstance(error_of(client.end(Type.COMMIT)), ProtocolError)
    assert "/a" not in bench.store.objects


def test_an_end_before_what_was_told_is_data_loss(bench):
    client = Client(bench)
    client.write(b"x" * 1_000)
    client.write(b"x" * 1_000)
    client.sent -= 1
    assert isinstance(error_of(client.end(Type.COMMIT)), DataLossError)
    assert bench.store.kept["/a"] == b"x" * 2_000


def test_the_end_tells_of_what_the_bell_did_not(bench):
    data = random.Random(4).randbytes(9_000)
    client = Client(bench)
    client.write(data[:5_000])
    client.ring.part(5_000, 4_000)[:] = data[5_000:]
    client.sent = 9_000
    assert client.end(Type.COMMIT).type is Type.RESULT
    assert bench.store.objects["/a"] == data


def test_a_broker_that_lost_the_client_knows_less_than_the_bell(bench):
    client = Client(bench)
    client.write(b"x" * 1_000)
    client.write(b"y" * 1_000)
    client.sent = 1_000
    assert client.end(Type.DETACH).type is Type.RESULT
    assert bench.store.kept["/a"] == b"x" * 1_000 + b"y" * 1_000


def test_marks_that_go_back_change_nothing(bench):
    client = Client(bench)
    client.write(b"x" * 1_000)
    client.write(b"y" * 1_000)
    client.bell.ring(500)
    bench.run()
    client.write(b"z" * 1_000)
    assert client.end(Type.COMMIT).type is Type.RESULT
    written = b"x" * 1_000 + b"y" * 1_000 + b"z" * 1_000
    assert bench.store.objects["/a"] == written


def test_a_bell_that_is_cut_is_not_listened_to(bench):
    client = Client(bench)
    client.write(b"x" * 1_000)
    client.bell.close()
    bench.run()
    assert bench.listening == {} and bench.tasks == []
    assert client.end(Type.COMMIT).type is Type.RESULT


def test_credit_comes_by_the_bell_when_a_quarter_is_free(bench):
    client = Client(bench)
    size = client.accepted.lane_bytes
    client.write(b"x" * 100)
    told = client.limit
    client.write(b"x" * (size // 4 - 200))
    assert client.limit == told
    client.write(b"x" * 200)
    assert client.limit == size + size // 4 + 100
    assert client.end(Type.COMMIT).type is Type.RESULT


def test_who_asks_for_a_file_only_gets_nothing(bench):
    client = Client(bench, take=False, lane_kinds=("file",))
    assert client.accepted.lane == ""
    assert client.end(Type.COMMIT).type is Type.RESULT


def test_a_client_that_sends_by_the_lane_is_not_silent(bench):
    client = Client(bench)
    client.write(b"x" * 100)
    for _ in range(3):
        bench.tick(500)
        client.write(b"x" * 100)
    assert client.end(Type.COMMIT).type is Type.RESULT


def test_a_client_that_is_silent_beside_its_lane_is_lost(bench):
    client = Client(bench)
    client.write(b"x" * 100)
    bench.tick(700)
    bench.run()
    errors = [m for m in bench.take() if m.type is Type.ERROR]
    assert isinstance(error_of(errors[0]), DeadlineExceededError)
    assert bench.store.kept["/a"] == b"x" * 100

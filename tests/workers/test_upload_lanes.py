"""Uploads by a lane: bytes that the client puts into shared memory."""

import mmap
import random

import pytest

from storagebus.broker.messages import Accepted, Operation, error_of, parse
from storagebus.broker.segment import Segment
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import CancelledError, ProtocolError
from storagebus.workers.lanes import LaneTerms

TERMS = LaneTerms("@storagebus-lane-" + 32 * "a", "this-host", 1 << 26)


class Ring(Segment):
    closed = False

    def close(self):
        self.closed = True


@pytest.fixture
def bench(make_bench):
    made = make_bench(lanes=TERMS)
    made.join()
    made.take()
    yield made
    assert made.offers == {}


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
        self.ring = None
        if take:
            self.ring = Ring(mmap.mmap(-1, self.accepted.lane_bytes))
            offer = bench.offers.pop(self.accepted.lane_token)
            assert offer.writable
            bench.core.lane_taken(offer.token, self.ring, bench.now)

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

    def say(self, count, offset=None):
        offset = self.sent if offset is None else offset
        self.bench.give(Message(Type.DATA, self.stream, offset=offset, lane=count))
        self.sent = max(self.sent, offset + count)

    def look(self):
        for message in self.bench.take():
            assert message.type is Type.CREDIT
            self.limit = max(self.limit, message.limit)

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
    assert client.ring.closed


def test_bytes_may_come_both_ways(bench):
    data = random.Random(2).randbytes(300_000)
    client = Client(bench)
    bench.give(Message(Type.DATA, client.stream, offset=0, payload=data[:1_000]))
    client.sent = 1_000
    client.write(data[1_000:200_000])
    bench.give(
        Message(Type.DATA, client.stream, offset=200_000, payload=data[200_000:])
    )
    client.sent = 300_000
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
    assert client.ring.closed


def test_the_lost_clients_ring_is_let_go_and_its_upload_kept(bench):
    client = Client(bench)
    client.write(b"x" * 100_000)
    bench.core.disconnected(0, bench.now)
    bench.look()
    bench.run()
    assert client.ring.closed
    assert bench.store.kept["/a"] == b"x" * 100_000


def test_a_lane_that_was_not_taken_is_an_offence_of_its_stream(bench):
    client = Client(bench, take=False)
    other = Client(bench)
    client.say(10)
    bench.run()
    assert isinstance(error_of(bench.one(Type.ERROR)), ProtocolError)
    other.write(b"y" * 10)
    assert other.end(Type.COMMIT).type is Type.RESULT


def test_a_piece_beyond_the_end_is_an_offence_of_its_stream(bench):
    client = Client(bench)
    client.write(b"x" * 100)
    client.say(client.accepted.lane_bytes - 99)
    bench.run()
    errors = [m for m in bench.take() if m.type is Type.ERROR]
    assert isinstance(error_of(errors[0]), ProtocolError)
    assert client.ring.closed


def test_what_is_beyond_the_limit_is_an_offence_of_its_stream(bench):
    client = Client(bench)
    client.write(b"x" * 100, run=False)
    client.say(client.limit)
    bench.run()
    errors = [m for m in bench.take() if m.type is Type.ERROR]
    assert isinstance(error_of(errors[0]), ProtocolError)


def test_a_repetition_is_ignored(bench):
    client = Client(bench)
    client.write(b"x" * 1_000)
    client.say(500, offset=0)
    client.write(b"y" * 1_000)
    assert client.end(Type.COMMIT).type is Type.RESULT
    assert bench.store.objects["/a"] == b"x" * 1_000 + b"y" * 1_000


def test_who_asks_for_a_file_only_gets_nothing(bench):
    client = Client(bench, take=False, lane_kinds=("file",))
    assert client.accepted.lane == ""
    assert client.end(Type.COMMIT).type is Type.RESULT

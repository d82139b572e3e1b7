"""Downloads: pieces within the credit, the last one in the RESULT."""

import random

import msgpack
import pytest

from storagebus.broker.messages import Accepted, Operation, Result, error_of, parse
from storagebus.broker.wire import Flag, Message, Type
from storagebus.drivers.errors import (
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    Executed,
    PathNotFoundError,
    ProtocolError,
)
from storagebus.workers.download_jobs import CloseSource

KIB = 1024
MIB = 1024 * KIB


def object_of(size):
    """Bytes that differ from place to place."""
    return random.Random(size).randbytes(size)


class Client:
    """The receiving end, with a window: checks offsets, limits and the one end."""

    def __init__(self, bench, window, operation=Operation.READ, path="/a", **arguments):
        self.bench, self.window = bench, window
        self.data = bytearray()
        self.payloads, self.messages = [], []
        self.accepted = self.end = None
        self.limit = window
        self.stream = bench.open(operation, path, limit=window, **arguments)
        self.look()

    def look(self):
        for message in self.bench.take():
            assert message.stream == self.stream
            assert self.end is None, "something after the terminal message"
            self.messages.append(message)
            if message.type is Type.ACCEPT:
                assert self.accepted is None
                assert not self.data
                self.accepted = parse(Accepted, message.fields)
            elif message.type is Type.DATA:
                assert self.accepted is not None, "DATA before ACCEPT"
                self.add(message)
            elif message.type is Type.RESULT:
                self.add(message)
                self.end = parse(Result, message.fields)
            elif message.type is Type.ERROR:
                self.end = error_of(message)

    def add(self, message):
        assert message.offset == len(self.data)
        self.data += message.payload
        assert len(self.data) <= self.limit, "beyond the credit"
        if message.payload:
            self.payloads.append(bytes(message.payload))

    def credit(self, window=None):
        self.limit = max(self.limit, len(self.data) + (window or self.window))
        self.bench.give(
            Message(Type.CREDIT, self.stream, offset=len(self.data), limit=self.limit)
        )
        self.look()

    def run(self):
        """Run jobs and grant as a stranger's simplest client would: when asked."""
        for _ in range(10_000):
            if self.end is not None:
                return
            if self.bench.tasks:
                self.bench.run_one()
                self.look()
            else:
                assert self.messages[-1].flags & Flag.WANT
                self.credit()
        raise AssertionError("the download does not end")


@pytest.mark.parametrize("size", [0, 1, 65_535])
def test_a_small_object_is_one_message(bench, size):
    bench.store.objects["/a"] = object_of(size)
    client = Client(bench, MIB)
    client.run()
    assert [m.type for m in client.messages] == [Type.RESULT]
    assert client.data == object_of(size)
    assert client.end.identity == "one"
    assert bench.store.open_readers == 0


@pytest.mark.parametrize("window", [1, 4096, 16_384, 65_536, 100_000, MIB, 4 * MIB])
@pytest.mark.parametrize("size", [65_536, 65_537, 5 * MIB + 3])
def test_every_byte_in_order_within_the_credit(bench, window, size):
    if size // window > 5000:
        size = 65_536 + 7 if window > 1 else 300
    bench.store.objects["/a"] = object_of(size)
    client = Client(bench, window)
    client.run()
    assert client.data == object_of(size)
    assert client.end.identity == "one"
    assert bench.store.open_readers == 0


def test_pieces_grow_and_leave_nothing_to_wait_for(bench):
    bench.store.objects["/a"] = object_of(4 * MIB)
    client = Client(bench, 16 * MIB)
    client.run()
    sizes = [len(payload) for payload in client.payloads]
    assert sizes == [64 * KIB, 256 * KIB, 704 * KIB, MIB, MIB, MIB]
    assert not any(m.flags & Flag.WANT for m in client.messages)
    assert client.accepted.identity == "one"


def test_no_more_is_read_than_was_granted(bench):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, 65_536)
    bench.run()
    client.look()
    assert len(client.data) == 65_536
    assert client.messages[-1].flags & Flag.WANT
    assert not bench.tasks
    client.credit(10)
    bench.run()
    client.look()
    assert len(client.data) == 65_546


def test_a_chunk_is_no_larger_than_the_broker_takes(make_bench):
    bench = make_bench()
    bench.core.connected(0, bench.now)
    fields = msgpack.packb(
        {
            "broker": "b",
            "protocol": 1,
            "chunk_max": 100_000,
            "heartbeat_ms": 1000,
            "streams_max": 10,
        }
    )
    bench.give(Message(Type.WELCOME, epoch=5, fields=fields))
    bench.take()
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, 16 * MIB)
    client.run()
    assert client.data == object_of(MIB)
    assert max(map(len, client.payloads)) == 100_000


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 10), (5, None), (5, 0), (70_000, 65_536), (70_000, 200_000), (300_000, None)],
)
def test_a_part_of_an_object(bench, start, length):
    whole = object_of(200_000)
    bench.store.objects["/a"] = whole
    client = Client(bench, MIB, start=start, length=length)
    client.run()
    end = None if length is None else start + length
    assert client.data == whole[start:end]


def test_a_length_that_is_known_needs_no_read_for_the_end(bench):
    bench.store.objects["/a"] = object_of(200_000)
    client = Client(bench, MIB, length=65_536)
    client.run()
    assert [m.type for m in client.messages] == [Type.RESULT]


def test_a_missing_object_is_its_error(bench):
    client = Client(bench, MIB)
    client.run()
    assert isinstance(client.end, PathNotFoundError)


def test_an_error_on_the_way_ends_the_stream_and_closes_the_reader(bench):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, MIB)
    bench.run_one()
    client.look()
    (task,) = bench.tasks
    task.job.source._reader._stream.close()
    bench.run()
    client.look()
    assert client.end is not None
    assert not isinstance(client.end, Result)
    assert bench.store.open_readers == 0


@pytest.mark.parametrize("kind", [Type.CANCEL, Type.DETACH])
def test_giving_up_closes_the_reader(bench, kind):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, 65_536)
    bench.run()
    client.look()
    assert bench.store.open_readers == 1
    bench.give(Message(kind, client.stream))
    client.look()
    assert client.end is None, "the driver has not let go yet"
    bench.give(Message(kind, client.stream))
    bench.run()
    client.look()
    assert isinstance(client.end, CancelledError)
    assert bench.store.open_readers == 0


def test_giving_up_while_the_driver_opens(bench):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, MIB)
    bench.give(Message(Type.CANCEL, client.stream))
    client.look()
    assert client.end is None
    bench.run_one()
    (task,) = bench.tasks
    assert isinstance(task.job, CloseSource)
    bench.run()
    client.look()
    assert isinstance(client.end, CancelledError)
    assert client.data == b""
    assert bench.store.open_readers == 0


def test_giving_up_while_it_waits_for_a_thread(bench):
    for _ in range(4):
        bench.open(Operation.STAT, "/busy")
    client = Client(bench, MIB)
    bench.give(Message(Type.CANCEL, client.stream))
    client.look()
    assert isinstance(client.end, CancelledError)
    bench.run()
    assert "reader" not in bench.store.calls


def test_giving_up_twice_still_closes_the_reader(bench):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, 65_536)
    bench.run()
    client.look()
    for _ in range(4):
        bench.open(Operation.STAT, "/busy")
    source = bench.core.links[0].streams[client.stream]._source  # or it is collected
    bench.give(Message(Type.CANCEL, client.stream))
    bench.give(Message(Type.DETACH, client.stream))
    bench.give(Message(Type.CREDIT, client.stream, offset=65_536, limit=MIB))
    assert bench.take() == []
    assert bench.store.open_readers == 1
    bench.run()
    assert bench.store.open_readers == 0
    ends = [m.type for m in bench.take() if m.stream == client.stream]
    assert ends == [Type.ERROR]
    del source


def test_credit_for_bytes_that_were_never_sent_ends_the_stream(bench):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, 65_536)
    bench.run()
    client.look()
    bench.give(Message(Type.CREDIT, client.stream, offset=65_537, limit=MIB))
    bench.run()
    client.look()
    assert isinstance(client.end, ProtocolError)
    assert bench.store.open_readers == 0


def test_late_and_low_credit_does_no_harm(bench):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, 200_000)
    bench.run()
    client.look()
    for limit in (0, 5, 200_000):
        bench.give(Message(Type.CREDIT, client.stream, offset=0, limit=limit))
    assert not bench.tasks
    client.run()
    assert client.data == object_of(MIB)


def test_a_silent_client_loses_its_download(bench):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, 65_536)
    bench.run()
    bench.tick(599)
    bench.run()
    client.look()
    assert client.end is None
    bench.tick(3)
    bench.run()
    client.look()
    assert isinstance(client.end, DeadlineExceededError)
    assert bench.store.open_readers == 0


def test_a_client_that_grants_now_and_then_keeps_its_download(bench):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, 65_536)
    for _ in range(4):
        bench.run()
        client.look()
        bench.tick(400)
        client.credit(10)
    assert client.end is None


def test_a_read_that_expires_in_the_queue_closes_the_reader(bench):
    bench.store.objects["/a"] = object_of(MIB)
    client = Client(bench, 65_536, budget_ms=2000)
    bench.run()
    client.look()
    for _ in range(4):
        bench.open(Operation.STAT, "/busy", budget_ms=60_000)
    source = bench.core.links[0].streams[client.stream]._source  # or it is collected
    client.credit()
    bench.tick(3)
    assert client.end is None
    bench.run()
    mine = [m for m in bench.take() if m.stream == client.stream]
    (end,) = mine
    error = error_of(end)
    assert isinstance(error, DeadlineExceededError)
    assert error.executed is Executed.NO
    assert bench.store.open_readers == 0
    del source


# -- pages ------------------------------------------------------------------


def names(count):
    rng = random.Random(count)
    return sorted(
        {
            f"/{rng.randrange(10**9)}-{'n' * rng.randrange(200)}x{i}"
            for i in range(count)
        }
    )


@pytest.mark.parametrize("count", [0, 1, 100, 20_000])
def test_a_listing_comes_in_pages(bench, count):
    paths = names(count)
    bench.store.objects = dict.fromkeys(paths, b"")
    client = Client(bench, 65_536, Operation.LIST, "/")
    client.run()
    pages = [msgpack.unpackb(payload) for payload in client.payloads]
    assert [path for page in pages for path in page] == paths
    assert all(len(payload) <= 16_384 for payload in client.payloads)
    assert all(pages)
    if count <= 1:
        assert [m.type for m in client.messages] == [Type.RESULT]


def test_a_page_waits_for_credit_as_a_whole(bench):
    bench.store.objects = dict.fromkeys(names(500), b"")
    client = Client(bench, 100, Operation.LIST, "/")
    bench.run()
    client.look()
    assert [m.type for m in client.messages] == [Type.ACCEPT]
    assert not bench.tasks
    client.credit(16_384)
    bench.run()
    client.look()
    assert len(client.payloads) == 1
    assert client.messages[-1].flags & Flag.WANT
    client.window = 16_384
    client.run()
    found = [path for page in client.payloads for path in msgpack.unpackb(page)]
    assert found == names(500)


def test_a_walk_says_what_is_known_of_each(bench):
    bench.store.objects = {"/a": b"1", "/b": b"22"}
    client = Client(bench, 65_536, Operation.WALK, "/")
    client.run()
    (page,) = map(msgpack.unpackb, client.payloads)
    assert [entry[:2] for entry in page] == [["/a", 1], ["/b", 2]]
    mtime_us, is_dir, identity = page[0][2:]
    assert (mtime_us, is_dir, identity) == (1_767_323_045_678_901, False, "one")


def test_an_error_of_a_walk_is_its_end(bench):
    bench.store.faults["list"] = DataLossError("torn")
    client = Client(bench, 65_536, Operation.WALK, "/")
    client.run()
    assert isinstance(client.end, DataLossError)

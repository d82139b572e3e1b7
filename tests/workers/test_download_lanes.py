"""Downloads by a lane: what is offered, to whom, and what follows."""

import os
import random

import pytest
from loose_lane import Lane

from storagebus.broker.messages import Accepted, Operation, Result, error_of, parse
from storagebus.broker.wire import Flag, Message, Type
from storagebus.drivers.contract import FileRange
from storagebus.drivers.errors import CancelledError, UnavailableError
from storagebus.workers.lanes import LaneTerms

KIB = 1024
MIB = 1024 * KIB
TERMS = LaneTerms("@storagebus-lane-" + 32 * "a", "this-host", 1 << 26)


def object_of(size):
    return random.Random(size).randbytes(size)


@pytest.fixture
def bench(make_bench):
    made = make_bench(lanes=TERMS)
    made.join()
    made.take()
    yield made
    assert made.offers == {}, "an offer that nobody takes back"
    for lane in made.lanes:
        lane.bell.close()
        lane.client.close()


def taken(bench, accepted, size=4 * MIB):
    """The client takes the lane that it was offered."""
    lane = Lane(size)
    bench.lanes.append(lane)
    bench.offers.pop(accepted.lane_token)
    bench.core.lane_taken(accepted.lane_token, lane, bench.now)
    bench.look()
    return lane


def asking(window=4 * MIB, **more):
    return {"limit": window, "lane": "this-host", "lane_window": window, **more}


def opened(bench, **arguments):
    """Open a read of /a; the ACCEPT and what came with it."""
    stream = bench.open(Operation.READ, "/a", **arguments)
    bench.run(1)
    accept, *rest = bench.take()
    assert accept.type is Type.ACCEPT
    return stream, parse(Accepted, accept.fields), rest


def with_file(bench, tmp_path, data):
    """Let the store's reader read a real file."""
    path = tmp_path / "object"
    path.write_bytes(data)
    file = os.open(path, os.O_RDWR)
    plain = bench.store.reader

    def reader(path, offset=0, length=None, *, if_match=None):
        made = plain(path, offset, length)
        end = len(data) if length is None else min(len(data), offset + length)
        made.file_range = lambda: FileRange(file, offset, end)
        return made

    bench.store.reader = reader
    bench.store.objects["/a"] = data
    return file


class TestMemory:
    def test_it_is_offered_beside_the_first_bytes(self, bench):
        bench.store.objects["/a"] = object_of(MIB)
        stream, accepted, rest = opened(bench, **asking(lane_kinds=("memory",)))
        assert accepted.lane == "memory"
        assert accepted.lane_address == TERMS.address
        assert accepted.lane_bytes == 4 * MIB
        assert [message.offset for message in rest] == [0]
        assert not any(message.lane for message in rest)
        offer = bench.offers[accepted.lane_token]
        assert (offer.size, offer.writable) == (4 * MIB, False)
        bench.give(Message(Type.CANCEL, stream))
        bench.run()

    def test_without_it_all_goes_as_ever(self, bench):
        data = object_of(3 * MIB)
        bench.store.objects["/a"] = data
        _, _, rest = opened(bench, **asking())
        bench.run()
        got = b"".join(bytes(m.payload) for m in rest + bench.take())
        assert got == data

    def test_what_follows_lies_in_the_ring(self, bench):
        data = object_of(20 * MIB + 5)
        bench.store.objects["/a"] = data
        stream, accepted, rest = opened(bench, **asking())
        got = bytearray(rest[0].payload)
        lane = taken(bench, accepted, accepted.lane_bytes)
        rings = lane.segment
        for _ in range(200):
            bench.run(1)
            for message in bench.take():
                if message.type is Type.RESULT:
                    for at in range(len(got), message.offset, MIB):
                        got += rings.part(at, min(MIB, message.offset - at))
                    assert message.payload == b""
                    assert got == data
                    assert lane.closed
                    assert bench.store.open_readers == 0
                    return
                assert message.offset == len(got)
                got += message.payload
                if message.lane:
                    assert message.flags & Flag.WANT, "the broker is to be told"
                    got += rings.part(message.offset, message.lane)
                    limit = len(got) + 4 * MIB
                    more = Message(Type.CREDIT, stream, offset=len(got), limit=limit)
                    bench.give(more)
            while lane.client.heard() or lane.client.mark > len(got):
                count = min(lane.client.mark - len(got), rings.room(len(got)))
                got += rings.part(len(got), count)
                lane.client.ring(len(got) + 4 * MIB)
        raise AssertionError("the download does not end")

    def test_pieces_end_at_multiples(self, bench):
        bench.store.objects["/a"] = object_of(4 * MIB)
        _, accepted, rest = opened(bench, **asking())
        lane = taken(bench, accepted)
        bench.run(2)
        rest += bench.take()
        assert rest[-1].lane and rest[-1].offset + rest[-1].lane == MIB
        plain = bench.store.readers[-1].readinto
        sizes = []
        bench.store.readers[-1].readinto = lambda v: sizes.append(len(v)) or plain(v)
        bench.run()
        assert sizes[:3] == [MIB, MIB, MIB]
        lane.client.heard()
        assert lane.client.mark == 4 * MIB

    def test_the_ring_is_not_written_beyond_the_credit(self, bench):
        bench.store.objects["/a"] = object_of(3 * MIB)
        stream, accepted, rest = opened(bench, **asking(window=256 * KIB))
        lane = taken(bench, accepted, 256 * KIB)
        bench.run()
        rest += bench.take()  # what was being read yet goes inline
        at = 256 * KIB
        assert sum(message.size for message in rest) == at
        bench.give(Message(Type.CREDIT, stream, offset=at, limit=at + 44 * KIB))
        bench.run()
        (first,) = bench.take()
        assert (first.offset, first.lane, first.flags) == (at, 44 * KIB, Flag.WANT)
        for at in (300 * KIB, 344 * KIB):
            lane.client.ring(at + 44 * KIB)
            bench.run()
            lane.client.heard()
            assert lane.client.mark == at + 44 * KIB
        before = bytes(lane.segment.view)
        lane.client.ring(1)
        bench.run()
        assert bench.take() == []
        assert before == bytes(lane.segment.view)
        bench.give(Message(Type.CANCEL, stream))
        bench.run()

    def test_a_small_object_has_no_lane(self, bench):
        bench.store.objects["/a"] = object_of(100)
        bench.open(Operation.READ, "/a", **asking())
        bench.run()
        bench.one(Type.RESULT)

    @pytest.mark.parametrize("window", [0, 16 * MIB + 1, 1 << 40])
    def test_no_ring_of_a_size_that_is_none(self, bench, window):
        bench.store.objects["/a"] = object_of(MIB)
        asked = asking(window=MIB) | {"lane_window": window}
        _, accepted, _ = opened(bench, **asked)
        assert accepted.lane == ""
        bench.run()

    def test_a_fault_in_mid_ring_ends_it(self, bench):
        bench.store.objects["/a"] = object_of(3 * MIB)
        _, accepted, _ = opened(bench, **asking())
        plain = bench.store.readers[-1].readinto

        def fails(view):
            if bench.store.readers[-1].tell() >= 2 * MIB:
                raise UnavailableError("no disk")
            return plain(view)

        bench.store.readers[-1].readinto = fails
        lane = taken(bench, accepted)
        bench.run()
        *_, last = bench.take()
        assert isinstance(error_of(last), UnavailableError)
        lane.client.heard()
        assert lane.client.mark == 2 * MIB, "what was there before is told"
        assert lane.closed
        assert bench.store.open_readers == 0

    def test_a_lane_that_is_taken_too_late_is_let_go(self, bench):
        bench.store.objects["/a"] = object_of(MIB)
        stream, accepted, _ = opened(bench, **asking())
        bench.give(Message(Type.CANCEL, stream))
        bench.run()
        lane = Lane(4 * MIB)
        bench.lanes.append(lane)
        bench.core.lane_taken(accepted.lane_token, lane, bench.now)
        bench.look()
        assert lane.closed

    def test_a_client_that_is_lost_takes_its_lane_along(self, bench):
        bench.store.objects["/a"] = object_of(20 * MIB)
        _, accepted, _ = opened(bench, **asking())
        lane = taken(bench, accepted)
        bench.run()
        assert len(bench.listening) == 1, "it waits for credit"
        bench.core.disconnected(0, bench.now)
        bench.look()
        bench.run()
        assert lane.closed

    def test_a_bell_that_is_cut_is_not_listened_to(self, bench):
        bench.store.objects["/a"] = object_of(20 * MIB)
        stream, accepted, _ = opened(bench, **asking())
        lane = taken(bench, accepted)
        bench.run()
        lane.client.close()
        bench.run()
        assert bench.listening == {} and bench.tasks == []
        bench.give(Message(Type.CANCEL, stream))
        bench.run()
        assert lane.closed


class TestFile:
    def test_it_is_offered_instead_of_bytes(self, bench, tmp_path):
        with_file(bench, tmp_path, object_of(MIB))
        stream, accepted, rest = opened(bench, **asking(start=10, length=500_000))
        assert rest == []
        assert (accepted.lane, accepted.identity) == ("file", "one")
        assert (accepted.lane_start, accepted.lane_bytes) == (10, 500_000)
        assert bench.tasks == []
        bench.give(Message(Type.CANCEL, stream))
        bench.run()

    def test_the_stream_is_complete_when_it_is_taken(self, bench, tmp_path):
        with_file(bench, tmp_path, object_of(MIB))
        _, accepted, _ = opened(bench, **asking())
        bench.offers.pop(accepted.lane_token)
        bench.core.lane_taken(accepted.lane_token, None, bench.now)
        bench.look()
        bench.run()
        result = bench.one(Type.RESULT)
        assert (result.offset, result.payload) == (0, b"")
        assert parse(Result, result.fields).identity == "one"
        assert bench.store.open_readers == 0

    def test_credit_changes_nothing(self, bench, tmp_path):
        with_file(bench, tmp_path, object_of(MIB))
        stream, _, _ = opened(bench, **asking())
        bench.give(Message(Type.CREDIT, stream, offset=0, limit=8 * MIB))
        assert (bench.take(), bench.tasks) == ([], [])
        bench.give(Message(Type.CANCEL, stream))
        bench.run()

    def test_who_wants_none_gets_memory(self, bench, tmp_path):
        with_file(bench, tmp_path, object_of(MIB))
        _, accepted, rest = opened(bench, **asking(lane_kinds=("memory", "other")))
        assert accepted.lane == "memory"
        assert rest
        bench.run()

    def test_a_small_file_is_one_message(self, bench, tmp_path):
        with_file(bench, tmp_path, object_of(65_536 // 2))
        bench.open(Operation.READ, "/a", **asking())
        bench.run()
        bench.one(Type.RESULT)

    def test_cancel_takes_the_offer_back(self, bench, tmp_path):
        with_file(bench, tmp_path, object_of(MIB))
        stream, accepted, _ = opened(bench, **asking())
        bench.give(Message(Type.CANCEL, stream))
        bench.run()
        assert isinstance(error_of(bench.one(Type.ERROR)), CancelledError)
        bench.core.lane_taken(accepted.lane_token, None, bench.now)
        assert bench.take() == []
        assert bench.store.open_readers == 0

    def test_a_driver_that_cannot_say_ends_the_read(self, bench, tmp_path):
        with_file(bench, tmp_path, object_of(MIB))
        plain = bench.store.reader

        def reader(*arguments, **more):
            made = plain(*arguments, **more)
            made.file_range = lambda: 1 / 0
            return made

        bench.store.reader = reader
        bench.open(Operation.READ, "/a", **asking())
        bench.run()
        assert "ZeroDivisionError" in str(error_of(bench.one(Type.ERROR)))
        assert bench.store.open_readers == 0


class TestWhoIsOffered:
    @pytest.mark.parametrize(
        "asked", [{}, {"lane": ""}, {"lane": "another-host"}, {"lane_kinds": ()}]
    )
    def test_nobody_elsewhere_and_who_does_not_ask(self, bench, tmp_path, asked):
        with_file(bench, tmp_path, object_of(MIB))
        given = asking() | asked
        if not asked:
            del given["lane"]
        _, accepted, _ = opened(bench, **given)
        assert accepted.lane == ""
        bench.run()

    def test_nobody_when_the_broker_has_no_such_feature(self, make_bench):
        bench = make_bench(lanes=TERMS)
        bench._features = ()
        bench.join()
        bench.take()
        bench.store.objects["/a"] = object_of(MIB)
        _, accepted, _ = opened(bench, **asking())
        assert accepted.lane == ""

    def test_nobody_by_a_worker_without_a_side_socket(self, make_bench):
        bench = make_bench()
        bench.join()
        bench.take()
        bench.store.objects["/a"] = object_of(MIB)
        _, accepted, _ = opened(bench, **asking())
        assert accepted.lane == ""

    def test_no_listing(self, bench):
        bench.store.objects |= {f"/{n:05}": b"" for n in range(20_000)}
        bench.open(Operation.LIST, "/", **asking())
        bench.run(1)
        assert parse(Accepted, bench.take()[0].fields).lane == ""
        bench.run()

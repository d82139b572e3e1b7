"""Sessions, several brokers, liveness, draining: the machine as a whole."""

import random

import pytest

from storagebus.broker.messages import (
    Farewell,
    Hello,
    Load,
    Operation,
    Reason,
    Welcome,
    error_of,
    pack,
    parse,
)
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import (
    BusyError,
    Executed,
    ProtocolError,
    UnavailableError,
)
from storagebus.workers.drain import FENCE_S, FINAL_S, PART_S, WELCOME_S
from storagebus.workers.exits import Exit

WELCOME = pack(Welcome("broker", 1, 1 << 20, 1000, 100))


def kinds(messages):
    return [message.type for message in messages]


def upload(bench, path="/a", link=0):
    """An open upload that holds four bytes."""
    stream = bench.open(Operation.WRITE, path, link=link)
    bench.run()
    bench.give(Message(Type.DATA, stream, payload=b"abcd"), link)
    bench.run()
    bench.take(link)
    return stream


# -- sessions -----------------------------------------------------------------


def test_it_greets_and_serves_nothing_before_it_is_welcome(make_bench):
    bench = make_bench()
    bench.core.connected(0, bench.now)
    bench.look()
    hello = parse(Hello, bench.one(Type.HELLO).fields)
    assert (hello.service, hello.slots, hello.streams) == ("default", 4, 8)
    bench.open(Operation.STAT)
    assert not bench.tasks


def test_messages_of_another_session_are_ignored(bench):
    bench.give(Message(Type.OPEN, 1, Operation.STAT, epoch=76))
    assert not bench.tasks
    assert bench.take() == []


def test_ping_is_answered_beside_the_driver(bench):
    bench.open(Operation.STAT)
    bench.now += 2.5
    bench.core.lag_s = 0.015
    bench.give(Message(Type.PING, offset=4242))
    pong = bench.one(Type.PONG)
    assert pong.offset == 4242
    assert parse(Load, pong.fields) == Load(1, 0, 2500, 15)


def test_what_is_no_message_ends_the_session_and_its_streams(bench):
    upload(bench)
    bench.core.received(0, ProtocolError("nonsense"), bench.now)
    bench.look()
    goodbye = bench.one(Type.GOAWAY)
    assert (goodbye.code, goodbye.epoch) == (Reason.PROTOCOL, 77)
    bench.run()
    assert bench.store.writers[0].end == "keep"
    bench.tick(1.1)
    assert kinds(bench.take()) == [Type.HELLO]
    bench.give(Message(Type.WELCOME, epoch=78, fields=b"\x80"))
    bench.tick(1.1)
    assert kinds(bench.take()) == [Type.HELLO]  # a bad WELCOME is no reason to die


def test_a_lost_session_keeps_uploads_and_closes_readers(bench):
    upload(bench, "/a")
    half = upload(bench, "/b")
    bench.give(Message(Type.DATA, half, offset=4, payload=b"efgh"))
    bench.store.objects["/c"] = bytes(1 << 20)
    bench.open(Operation.READ, "/c", limit=65_536)
    running = bench.open(Operation.STAT)
    waiting = [bench.open(Operation.DELETE, "/c") for _ in range(5)]
    assert running < waiting[0]
    bench.core.disconnected(0, bench.now)
    bench.look()
    bench.run()
    assert [writer.end for writer in bench.store.writers] == ["keep", "keep"]
    assert bench.store.kept == {"/a": b"abcd", "/b": b"abcdefgh"}
    assert bench.store.open_readers == 0
    assert bench.store.calls.count("delete") <= 2, "only what had a thread already"
    assert Type.RESULT not in kinds(bench.take())
    assert bench.core._orphans == set()
    bench.join(epoch=78)
    bench.take()
    bench._ids[0] = 0
    bench.open(Operation.STAT)
    bench.run()
    assert kinds(bench.take()) == [Type.RESULT]


def test_a_commit_that_waits_is_taken_back_when_its_session_is_lost(bench):
    stream = upload(bench)
    bench.give(Message(Type.DATA, stream, offset=4, payload=b"efgh"))
    bench.give(Message(Type.COMMIT, stream, offset=8))
    bench.core.disconnected(0, bench.now)
    bench.look()
    bench.run()
    assert bench.store.objects == {}
    assert bench.store.kept == {"/a": b"abcdefgh"}


def test_a_connection_that_returned_unnoticed_is_a_new_session(bench):
    upload(bench)
    bench.core.connected(0, bench.now)
    bench.look()
    bench.run()
    assert bench.store.writers[0].end == "keep"
    assert kinds(bench.take()) == [Type.HELLO]


def test_a_broker_that_takes_no_messages_is_left(bench):
    stream = bench.open(Operation.STAT)
    bench.core.undelivered(0, bench.now)
    bench.core.undelivered(0, bench.now)
    bench.look()
    assert kinds(bench.take()) == [Type.GOAWAY]
    bench.run()
    assert bench.take() == []
    assert not bench.core.links[0].is_open
    assert stream


def test_a_silent_broker_is_left(bench):
    upload(bench)
    bench.tick(5.5, silent=True)
    bench.run()
    assert bench.store.writers[0].end == "keep"
    assert any("silent" in note.text for note in bench.notes)


def test_refused_by_all_brokers_is_the_end(make_bench):
    bench = make_bench(links=2)
    for link in (0, 1):
        bench.core.connected(link, bench.now)
    refusal = pack(Farewell("another driver serves it"))
    bench.give(Message(Type.GOAWAY, code=Reason.REFUSED, fields=refusal), 0)
    assert bench.stopped is None
    bench.give(Message(Type.GOAWAY, code=Reason.VERSION, fields=refusal), 1)
    assert bench.stopped.code == Exit.REFUSED
    assert "another driver" in bench.stopped.why


# -- several brokers ------------------------------------------------------------


def test_streams_of_brokers_are_apart(make_bench):
    bench = make_bench(links=2)
    bench.join(0, epoch=1)
    bench.join(1, epoch=2)
    bench.take(0)
    bench.take(1)
    assert upload(bench, "/a", 0) == upload(bench, "/b", 1) == 1
    bench.give(Message(Type.COMMIT, 1, offset=4), 1)
    bench.run()
    assert kinds(bench.take(1)) == [Type.RESULT]
    assert bench.take(0) == []
    assert bench.store.objects == {"/b": b"abcd"}
    bench.core.disconnected(1, bench.now)
    bench.look()
    assert len(bench.core.links[0].streams) == 1


def test_streams_above_the_bound_are_refused_as_busy(bench):
    for number in range(8):
        upload(bench, f"/{number}")
    bench.open(Operation.READ)
    error = error_of(bench.one(Type.ERROR))
    assert isinstance(error, BusyError)
    assert error.executed is Executed.NO
    bench.give(Message(Type.CANCEL, 1))
    bench.run()
    bench.take()
    upload(bench, "/more")


# -- fairness -------------------------------------------------------------------


def test_a_call_does_not_wait_for_bulk(make_bench):
    bench = make_bench(slots=4, streams=50)
    bench.join()
    bench.store.objects["/a"] = bytes(1 << 20)
    streams = [bench.open(Operation.READ, limit=65_536) for _ in range(20)]
    bench.run()
    bench.take()
    for stream in streams:
        bench.give(Message(Type.CREDIT, stream, offset=65_536, limit=1 << 20))
    assert len(bench.tasks) == 3, "bulk leaves a thread free"
    bench.open(Operation.STAT)
    assert len(bench.tasks) == 4
    assert bench.tasks[-1].bulk is False


# -- draining -------------------------------------------------------------------


def test_a_drain_finishes_what_is_here(bench):
    stream = upload(bench)
    bench.core.drain(30.0, bench.now)
    bench.look()
    assert kinds(bench.take()) == [Type.DRAIN]
    late = bench.open(Operation.STAT)  # was under way
    assert late > stream
    bench.run()
    assert kinds(bench.take()) == [Type.RESULT]
    bench.give(Message(Type.DRAIN))
    assert bench.stopped is None
    bench.give(Message(Type.DATA, stream, offset=4, payload=b"efgh"))
    bench.give(Message(Type.COMMIT, stream, offset=8))
    bench.run()
    assert kinds(bench.take()) == [Type.RESULT, Type.DRAINED]
    assert bench.store.objects["/a"] == b"abcdefgh"
    assert bench.stopped is None
    bench.give(Message(Type.GOAWAY, code=Reason.SHUTDOWN))  # it has read all that
    assert bench.stopped.code == 0
    assert bench.core.next_deadline(bench.now) is None


def test_a_brokers_drain_drains_the_worker(make_bench):
    bench = make_bench(links=2)
    bench.join(0, epoch=1)
    bench.join(1, epoch=2)
    bench.take(0), bench.take(1)
    bench.give(Message(Type.DRAIN), 0)
    assert kinds(bench.take(0)) == [Type.DRAINED]
    assert kinds(bench.take(1)) == [Type.DRAIN]
    bench.give(Message(Type.GOAWAY, code=Reason.SHUTDOWN), 0)
    assert bench.stopped is None
    bench.give(Message(Type.DRAIN), 1)
    assert kinds(bench.take(1)) == [Type.DRAINED]
    # A broker of before does not answer that.
    bench.tick(PART_S + 0.01)
    assert kinds(bench.take(1)) == [Type.GOAWAY]
    assert bench.stopped.code == 0


def test_a_broker_that_does_not_answer_is_not_waited_for(bench):
    bench.core.drain(30.0, bench.now)
    bench.tick(FENCE_S + PART_S + 0.01)
    assert bench.stopped.code == 0


def test_without_a_session_a_drain_is_quick(make_bench):
    bench = make_bench()
    bench.core.drain(30.0, bench.now)
    bench.look()
    assert bench.stopped.code == 0


def test_a_drain_waits_for_a_welcome_that_may_be_under_way(make_bench):
    bench = make_bench(links=2)
    bench.core.connected(0, bench.now)
    bench.core.connected(1, bench.now)
    bench.core.drain(30.0, bench.now)
    bench.look()
    bench.take()
    bench.give(Message(Type.WELCOME, epoch=3, fields=WELCOME))
    bench.open(Operation.STAT)
    assert kinds(bench.take()) == [Type.DRAIN]
    bench.give(Message(Type.DRAIN))
    bench.run()
    assert kinds(bench.take()) == [Type.RESULT, Type.DRAINED]
    bench.give(Message(Type.GOAWAY, code=Reason.SHUTDOWN))
    assert bench.stopped is None
    bench.tick(WELCOME_S + 0.01)
    assert bench.stopped.code == 0


def test_after_the_grace_uploads_are_kept_and_the_client_is_told(bench):
    stream = upload(bench)
    bench.core.drain(3.0, bench.now)
    bench.give(Message(Type.DRAIN))
    bench.take()
    bench.tick(3.01)
    bench.run()
    error, *rest = bench.take()
    assert error.stream == stream
    told = error_of(error)
    assert isinstance(told, UnavailableError)
    assert (told.durable, told.temporary) == (2, True)
    assert bench.store.writers[0].end == "keep"
    assert kinds(rest) == [Type.DRAINED]
    bench.give(Message(Type.GOAWAY, code=Reason.SHUTDOWN))
    assert bench.stopped.code == 0


def test_a_broker_that_ends_during_a_drain_is_not_greeted_again(bench):
    upload(bench)
    bench.core.drain(30.0, bench.now)
    bench.give(Message(Type.GOAWAY, code=Reason.SHUTDOWN))
    assert bench.stopped is None, "the upload is not kept yet"
    bench.run()
    assert bench.stopped.code == 0
    assert bench.store.writers[0].end == "keep"


def test_a_hung_driver_does_not_hold_up_a_drain(bench):
    bench.open(Operation.STAT)
    bench.core.drain(3.0, bench.now)
    bench.give(Message(Type.DRAIN))
    bench.tick(3.0 + FINAL_S - 0.1)
    assert bench.stopped is None
    bench.tick(0.2)
    assert bench.stopped.code == 0


def test_halt_says_goodbye_and_stops_at_once(bench):
    upload(bench)
    bench.core.halt("SIGINT was received")
    bench.look()
    assert kinds(bench.take()) == [Type.GOAWAY]
    assert bench.stopped.code == 0


# -- anything at all --------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_whatever_arrives_every_stream_ends_once(make_bench, seed):
    """Messages in any order, jobs at any time, faults anywhere: in the end each OPEN
    has one terminal message, and the driver has nothing left open."""
    rng = random.Random(seed)
    bench = make_bench(slots=3, streams=6)
    bench.join()
    store = bench.store
    store.objects = {
        f"/o{n}": rng.randbytes(rng.choice((0, 70_000, 900_000))) for n in range(4)
    }
    faults = ("reader", "writer", "write", "commit", "stat", "list", "move")
    streams, sent = [], {}
    for _ in range(400):
        step = rng.random()
        if step < 0.25:
            operation = rng.choice(list(Operation))
            path = rng.choice(["/o0", "/o1", "/o2", "/new", "bad"])
            stream = bench.open(
                operation,
                path,
                limit=rng.choice((0, 1000, 1 << 20)),
                destination="/moved",
                budget_ms=rng.choice((0, 50, 1000)),
            )
            streams.append(stream)
            sent[stream] = 0
        elif step < 0.6 and streams:
            stream = rng.choice(streams)
            kind = rng.choice(
                (
                    Type.DATA,
                    Type.DATA,
                    Type.DATA,
                    Type.CREDIT,
                    Type.CREDIT,
                    Type.COMMIT,
                    Type.DETACH,
                    Type.CANCEL,
                )
            )
            payload = rng.randbytes(rng.choice((1, 1000))) if kind is Type.DATA else b""
            offset = sent[stream] if rng.random() < 0.9 else rng.randrange(5000)
            if kind is Type.CREDIT:
                offset = 0
                if rng.random() < 0.3:
                    bench.give(Message(Type.CANCEL, stream))
            elif offset == sent[stream]:
                sent[stream] += len(payload)
            bench.give(
                Message(
                    kind,
                    stream,
                    offset=offset,
                    payload=payload,
                    limit=rng.choice((0, 1 << 18, 1 << 22)),
                )
            )
        elif step < 0.9 and bench.tasks:
            store.faults = (
                {rng.choice(faults): rng.choice((OSError(28, "full"), KeyError(1)))}
                if rng.random() < 0.2
                else {}
            )
            rng.shuffle(bench.tasks)
            bench.run_one()
        else:
            bench.tick(rng.choice((0.01, 0.2, 2)))
    store.faults = {}
    for stream in streams:
        bench.give(Message(Type.CANCEL, stream))
        bench.give(Message(Type.DETACH, stream, offset=sent[stream]))
    bench.run()
    ends = [m.stream for m in bench.take() if m.type in (Type.RESULT, Type.ERROR)]
    assert sorted(ends) == streams
    assert store.open_readers == 0
    assert all(writer.end for writer in store.writers)
    assert (bench.core._calls, bench.core._open, len(bench.core.schedule)) == (0, 0, 0)
    assert not bench.core.schedule.running


# -- drivers that answer what cannot be sent ---------------------------------------

ODD = "\udcff"


def test_an_upload_id_that_cannot_be_sent_ends_the_upload_only(bench, monkeypatch):
    writer = bench.store.writer

    def odd(*args, **kwargs):
        made = writer(*args, **kwargs)
        made.upload_id = ODD
        return made

    monkeypatch.setattr(bench.store, "writer", odd)
    bench.open(Operation.WRITE)
    bench.run()
    assert kinds(bench.take()) == [Type.ERROR]
    assert bench.store.writers[0].end == "keep"


def test_an_identity_that_cannot_be_sent_ends_the_download_only(bench, monkeypatch):
    reader = bench.store.reader

    def odd(*args, **kwargs):
        made = reader(*args, **kwargs)
        made.identity = ODD
        return made

    monkeypatch.setattr(bench.store, "reader", odd)
    bench.store.objects = {"/a": bytes(100), "/b": bytes(1 << 20)}
    for path in ("/a", "/b"):
        bench.open(Operation.READ, path, limit=1 << 18)
        bench.run()
        assert kinds(bench.take()) == [Type.ERROR]
    assert bench.store.open_readers == 0


def test_a_name_or_error_that_is_no_text_ends_its_stream_only(bench):
    bench.store.objects = {"/" + ODD: b""}
    bench.open(Operation.LIST, "/", limit=1 << 18)
    bench.run()
    assert kinds(bench.take()) == [Type.ERROR]
    bench.store.faults["stat"] = OSError(5, "no file " + ODD)
    bench.open(Operation.STAT)
    bench.run()
    assert kinds(bench.take()) == [Type.ERROR]

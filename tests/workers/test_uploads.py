"""Uploads: bytes in order, one end, and the truth about what is kept."""

import random

import pytest

from storagebus.broker.messages import (
    UNTOLD,
    Accepted,
    Operation,
    Progress,
    Result,
    error_of,
    parse,
)
from storagebus.broker.wire import Flag, Message, Type
from storagebus.drivers.errors import (
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    Executed,
    PathConflictError,
    ProtocolError,
    StorageFullError,
    UnavailableError,
    UploadSupersededError,
)
from storagebus.workers.upload_jobs import WritePieces
from storagebus.workers.uploads import UPLOAD_WINDOW_BYTES_MAX, WAITING_PIECES_MAX

MIB = 1 << 20


class Client:
    """The sending end."""

    def __init__(self, bench, path="/a", **arguments):
        self.bench = bench
        self.stream = bench.open(Operation.WRITE, path, **arguments)
        self.sent = 0
        self.limit = 0
        self.accepted = self.end = None
        self.durable = 0
        self.credits = []
        self.kinds = []

    def look(self):
        for message in self.bench.take():
            if message.stream != self.stream:
                continue
            assert self.end is None, "something after the terminal message"
            self.kinds.append(message.type)
            if message.type is Type.ACCEPT:
                self.accepted = parse(Accepted, message.fields)
                self.limit = message.limit
            elif message.type is Type.CREDIT:
                self.credits.append(message)
                self.limit = max(self.limit, message.limit)
                self.durable = parse(Progress, message.fields).durable
            elif message.type is Type.RESULT:
                self.end = parse(Result, message.fields)
            elif message.type is Type.ERROR:
                self.end = error_of(message)
        return self

    def data(self, data, offset=None, flags=0):
        at = self.sent if offset is None else offset
        self.bench.give(
            Message(
                Type.DATA,
                self.stream,
                offset=at,
                flags=flags,
                payload=memoryview(bytes(data)),
            )
        )
        if offset is None:
            self.sent += len(data)
        return self.look()

    def say(self, kind, offset=None, **header):
        at = self.sent if offset is None else offset
        self.bench.give(Message(kind, self.stream, offset=at, **header))
        return self.look()

    def run(self):
        self.bench.run()
        return self.look()


@pytest.fixture
def client(bench):
    made = Client(bench).run()
    assert made.accepted is not None
    return made


@pytest.fixture
def writer(bench, client):
    return bench.store.writers[0]


def test_accept_says_where_the_upload_stands(bench):
    bench.store.kept["/a"] = b"12345678"
    client = Client(bench, append=True).run()
    told = client.accepted
    assert (told.size, told.durable, told.upload_id, told.generation) == (8, 4, "u0", 1)
    assert client.limit == UPLOAD_WINDOW_BYTES_MAX
    client.data(b"9").run().say(Type.COMMIT).run()
    assert bench.store.objects["/a"] == b"123456789"
    assert client.end.size == 9


def test_bytes_arrive_in_order_and_are_committed(bench, client, writer):
    rng = random.Random(4)
    content = rng.randbytes(7 * MIB + 11)
    while client.sent < len(content):
        room = min(client.limit - client.sent, len(content) - client.sent)
        if room == 0:
            client.run()
            continue
        size = min(room, rng.choice((1, 1000, 65_536, 262_144, MIB)))
        client.data(content[client.sent : client.sent + size])
        if rng.random() < 0.3:
            client.run()
    client.say(Type.COMMIT).run()
    assert isinstance(client.end, Result)
    assert bench.store.objects["/a"] == content
    assert (client.end.size, client.end.durable) == (len(content), len(content))
    assert client.end.identity == "made-by-u0"
    assert max(writer.writes) <= MIB
    assert client.end.driver_us > 0


def test_small_pieces_become_one_write(client, writer):
    for byte in range(200):
        client.data(bytes([byte]))
    client.run()
    assert writer.data == bytes(range(200))
    assert writer.writes == [1, 199]  # the first was in hand already


def test_large_pieces_that_wait_go_two_a_job(client, writer, monkeypatch):
    jobs, run = [], WritePieces.run

    def noted(job, driver):
        jobs.append(len(job.pieces))
        return run(job, driver)

    monkeypatch.setattr(WritePieces, "run", noted)
    data = random.randbytes(4 * MIB)
    for at in range(0, len(data), MIB):
        client.data(data[at : at + MIB])
    client.run()
    assert writer.data == data
    assert writer.writes == [MIB] * 4
    assert jobs == [1, 2, 1]  # the first was in hand already


def test_many_tiny_pieces_take_little_room(bench, client, writer):
    for number in range(WAITING_PIECES_MAX * 4):
        client.data(bytes([number % 251]))
    upload = bench.core.links[0].streams[client.stream]
    assert len(upload._waiting) <= WAITING_PIECES_MAX
    client.run()
    expected = bytes(number % 251 for number in range(WAITING_PIECES_MAX * 4))
    assert writer.data == expected


def test_no_more_waits_for_the_driver_than_the_window(client, writer):
    while client.sent < client.limit:
        client.data(bytes(262_144))
    assert client.limit == client.sent == UPLOAD_WINDOW_BYTES_MAX
    client.data(b"", flags=int(Flag.WANT))
    assert client.credits[-1].offset == UPLOAD_WINDOW_BYTES_MAX
    assert client.limit == UPLOAD_WINDOW_BYTES_MAX, "nothing was consumed"
    client.run()
    assert client.limit > UPLOAD_WINDOW_BYTES_MAX
    assert len(writer.data) == UPLOAD_WINDOW_BYTES_MAX


def test_credit_says_what_is_durable(client):
    client.data(bytes(1000), flags=int(Flag.WANT))
    assert client.durable == 0
    client.run().data(b"", flags=int(Flag.WANT))
    assert client.durable == 500
    assert client.credits[-1].offset == 1000


def test_data_beyond_the_credit_ends_the_upload_and_keeps_it(bench, client, writer):
    client.data(b"kept").run()
    client.data(bytes(MIB)).data(bytes(MIB)).run()
    assert client.end is None
    other = Client(bench).run()
    for _ in range(UPLOAD_WINDOW_BYTES_MAX // MIB):
        other.data(bytes(MIB))
    other.data(b"x").run()
    assert isinstance(other.end, ProtocolError)
    assert other.end.durable is not None
    assert bench.store.writers[1].end == "keep"


def test_a_gap_ends_the_upload_and_keeps_it(client, writer):
    client.data(b"abcd").run()
    client.data(b"x", offset=5).run()
    assert isinstance(client.end, DataLossError)
    assert client.end.durable == 2
    assert (writer.end, writer.data) == ("keep", b"abcd")


def test_a_duplicate_is_ignored(client, writer):
    client.data(b"abcd").data(b"abcd", offset=0).data(b"cd", offset=2).data(b"ef").run()
    assert writer.data == b"abcdef"


@pytest.mark.parametrize("kind", [Type.COMMIT, Type.DETACH])
def test_an_end_after_missing_bytes_is_data_loss(client, writer, kind):
    client.data(b"abcd").say(kind, offset=5).run()
    assert isinstance(client.end, DataLossError)
    assert writer.end == "keep"


def test_detach_writes_what_has_arrived_and_keeps_it(bench, client, writer):
    for _ in range(3):
        client.data(b"abcd")
    client.say(Type.DETACH).run()
    assert isinstance(client.end, Result)
    assert (client.end.size, client.end.durable) == (12, 6)
    assert bench.store.kept["/a"] == b"abcd" * 3
    assert "/a" not in bench.store.objects


def test_cancel_drops_the_upload(client, writer):
    client.data(b"abcd").run()
    client.data(b"never").data(b"written").say(Type.CANCEL).run()
    assert isinstance(client.end, CancelledError)
    assert client.end.executed is Executed.NO
    assert writer.end == "cancel"
    assert b"written" not in writer.data


def test_cancel_before_the_writer_is_open(bench):
    for _ in range(4):
        bench.open(Operation.STAT)
    client = Client(bench).say(Type.CANCEL)
    assert isinstance(client.end, CancelledError)
    bench.run()
    assert bench.store.writers == []


def test_cancel_while_the_writer_opens(bench):
    client = Client(bench).say(Type.CANCEL)
    assert client.end is None
    client.run()
    assert isinstance(client.end, CancelledError)
    assert bench.store.writers[0].end == "cancel"


def test_a_new_upload_that_nobody_has_heard_of_is_dropped(bench):
    """Kept, it would take the place of what the client has kept by another worker."""
    client = Client(bench).say(Type.DETACH)
    client.run()
    assert isinstance(client.end, CancelledError)
    assert bench.store.writers[0].end == "cancel"


def test_a_new_upload_whose_client_got_no_accept_is_dropped(bench, client, writer):
    """ACCEPT had left, and did not arrive: a later upload may be kept by now."""
    client.say(Type.DETACH, code=UNTOLD).run()
    assert isinstance(client.end, CancelledError)
    assert writer.end == "cancel"


def test_a_continued_upload_whose_client_got_no_accept_is_kept(bench):
    client = Client(bench, upload_id="u").run()
    client.say(Type.DETACH, code=UNTOLD).run()
    assert bench.store.writers[0].end == "keep"


@pytest.mark.parametrize("arguments", [{"append": True}, {"upload_id": "u"}])
def test_an_upload_that_is_continued_is_kept_however_it_ends(bench, arguments):
    client = Client(bench, **arguments).say(Type.DETACH)
    client.run()
    assert isinstance(client.end, Result)
    assert bench.store.writers[0].end == "keep"


def test_cancel_takes_back_a_commit_that_waits(bench, client, writer):
    client.data(b"abcd").run()
    for _ in range(4):
        bench.open(Operation.STAT)
    client.say(Type.COMMIT).say(Type.CANCEL).run()
    assert isinstance(client.end, CancelledError)
    assert "/a" not in bench.store.objects


def test_cancel_comes_too_late_for_a_commit_that_has_run(bench, client):
    client.data(b"abcd").run().say(Type.COMMIT)
    task = bench.tasks.pop()
    outcome = bench.perform(task)
    client.say(Type.CANCEL)
    bench.core.finished(task, outcome, bench.now)
    bench.look()
    assert isinstance(client.look().end, Result)
    assert bench.store.objects["/a"] == b"abcd"


@pytest.mark.parametrize("end", [Type.CANCEL, Type.DETACH])
def test_a_commit_that_is_given_up_takes_no_effect(bench, client, writer, end):
    client.data(b"abcd").run().say(Type.COMMIT).say(end).run()
    assert isinstance(client.end, CancelledError)
    assert client.end.executed is Executed.NO
    assert "/a" not in bench.store.objects
    assert writer.end == ("cancel" if end is Type.CANCEL else "keep")


def test_detach_takes_back_a_commit_that_waits(bench, client, writer):
    client.data(b"abcd").run()
    for _ in range(4):
        bench.open(Operation.STAT)
    client.data(b"efgh").say(Type.COMMIT).say(Type.DETACH).run()
    assert isinstance(client.end, Result)
    assert client.end.identity is None
    assert bench.store.kept["/a"] == b"abcdefgh"
    assert "/a" not in bench.store.objects


def test_a_commit_takes_no_effect_in_a_worker_that_has_heard_nothing(bench, client):
    client.data(b"abcd").run().say(Type.COMMIT)
    bench.tick(3.1, silent=True)
    client.run()
    assert isinstance(client.end, UnavailableError)
    assert (client.end.executed, client.end.temporary) == (Executed.NO, True)
    assert "/a" not in bench.store.objects


def test_a_commit_that_comes_after_a_long_silence_may_be_old(bench, client, writer):
    client.data(b"abcd").run()
    bench.tick(3.1, silent=True)
    client.say(Type.COMMIT).run()
    assert isinstance(client.end, UnavailableError)
    assert client.end.executed is Executed.NO
    assert writer.end == "keep"


def test_cancel_during_a_commit_that_fails(bench, client, writer):
    bench.store.faults["commit"] = StorageFullError()
    client.data(b"abcd").run().say(Type.COMMIT).say(Type.CANCEL).run()
    assert isinstance(client.end, StorageFullError)
    assert writer.end == "cancel"


@pytest.mark.parametrize("method", ["write", "commit"])
def test_a_failing_driver_ends_the_upload_once(bench, client, writer, method):
    client.data(b"abcd").run()
    bench.store.faults[method] = UploadSupersededError()
    client.data(b"efgh").data(b"more").say(Type.COMMIT).run()
    assert isinstance(client.end, UploadSupersededError)
    assert client.end.durable is not None
    assert writer.end == "keep"
    client.data(b"late").say(Type.COMMIT).say(Type.CANCEL)
    assert "/a" not in bench.store.objects


def test_a_failing_close_is_told(bench, client):
    bench.store.faults["close"] = StorageFullError()
    client.data(b"abcd").say(Type.DETACH).run()
    assert isinstance(client.end, StorageFullError)


def test_nothing_after_a_commit_says_that_it_failed(bench, client):
    bench.store.faults["close"] = StorageFullError()
    bench.store.faults["upload_status"] = StorageFullError()
    client.data(b"abcd").say(Type.COMMIT).run()
    assert isinstance(client.end, Result)
    assert client.end.size == 4


def test_an_upload_that_cannot_be_opened(bench):
    bench.store.faults["writer"] = PathConflictError(path="/a")
    client = Client(bench).run()
    assert isinstance(client.end, PathConflictError)
    assert client.end.durable is None


def test_a_commit_that_expires_in_the_queue_is_not_executed(bench, client, writer):
    client.data(b"abcd").run()
    for _ in range(4):
        bench.open(Operation.STAT, budget_ms=60_000)
    client.say(Type.COMMIT, budget_ms=1000)
    bench.tick(2)
    bench.run()
    client.look()
    assert isinstance(client.end, DeadlineExceededError)
    assert client.end.executed is Executed.NO
    assert client.end.durable == 2
    assert writer.end == "keep"


def test_a_long_commit_shows_progress(bench, client):
    client.data(b"abcd").run().say(Type.COMMIT)
    for _ in range(11):
        bench.tasks[0].stream.steps.done += 1
        bench.tick(1)
    client.look()
    assert client.kinds.count(Type.PROGRESS) == 2
    client.run()
    assert isinstance(client.end, Result)


def test_progress_is_in_time_for_a_short_budget(bench, client):
    """At least every quarter of it, or a deadline of a second ends what moves on."""
    client = Client(bench, "/b", budget_ms=900).run()
    client.data(b"abcd").run().say(Type.COMMIT)
    task = bench.tasks[0]
    for number in range(1, 20):
        task.stream.steps.done += 1
        bench.tick(0.35)
        client.look()
        assert client.kinds.count(Type.PROGRESS) >= number, number
    client.run()
    assert isinstance(client.end, Result)


def test_a_silent_client_leaves_a_kept_upload(bench, client, writer):
    client.data(b"abcd").run()
    bench.tick(602)
    client.run()
    assert isinstance(client.end, DeadlineExceededError)
    assert writer.end == "keep"


def test_one_job_at_a_time(bench, client):
    for _ in range(10):
        client.data(bytes(1000))
    assert len(bench.tasks) == 1


def test_windows_shrink_when_there_are_many_uploads(make_bench):
    bench = make_bench(streams=200)
    bench.join()
    limits = [Client(bench, f"/{n}").run().limit for n in range(200)]
    assert limits[0] == UPLOAD_WINDOW_BYTES_MAX
    assert limits[-1] < MIB
    assert sum(limits[:32]) < 80 * MIB
    assert sum(limits) < 140 * MIB

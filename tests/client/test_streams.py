"""client/streams.py: credit, gaps, ends and clocks of downloads and uploads."""

from __future__ import annotations

import random

import pytest
from client_scene import ClientScene
from hypothesis import given, settings
from hypothesis import strategies as st

from storagebus.broker.flow import ACK_BYTES_MAX, ACK_BYTES_MIN
from storagebus.broker.messages import (
    UNTOLD,
    Accepted,
    Operation,
    Progress,
    Result,
)
from storagebus.broker.wire import CHUNK_BYTES_MAX, Flag, Message, Type
from storagebus.client.requests import (
    Accepting,
    Arrived,
    Finished,
    InLane,
    Moved,
    Sent,
)
from storagebus.drivers.errors import (
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    ProtocolError,
    StorageFullError,
)

KIB = 1_024


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that show where they belong."""
    return random.Random(seed).randbytes(size)


def downloading(window: int = 4_096, budget_s: float = 10.0) -> ClientScene:
    scene = ClientScene()
    scene.connect()
    scene.open("k", Operation.READ, budget_s=budget_s, window=window)
    scene.take()
    return scene


def uploading(limit: int = 1_000, budget_s: float = 10.0, **more: int) -> ClientScene:
    scene = ClientScene()
    scene.connect()
    scene.open("k", Operation.WRITE, budget_s=budget_s)
    scene.take()
    accepted = Accepted(upload_id="u", **more)
    scene.say(Type.ACCEPT, 1, content=accepted, limit=limit)
    return scene


class TestDownload:
    def test_the_open_grants_the_window(self) -> None:
        scene = ClientScene()
        scene.connect()
        (opened,) = scene.open("k", Operation.READ, window=5_000)
        assert opened.limit == 5_000

    def test_a_single_result_is_the_whole(self) -> None:
        scene = downloading()
        scene.say(Type.RESULT, 1, content=Result(identity="i"), payload=b"whole")
        assert scene.content("k") == b"whole"
        assert scene.finished("k").result.identity == "i"

    def test_pieces_in_order_and_the_last_in_the_result(self) -> None:
        scene = downloading()
        data = pattern(3_000)
        scene.say(Type.ACCEPT, 1, content=Accepted(identity="i"))
        scene.say(Type.DATA, 1, offset=0, payload=data[:1_000])
        scene.say(Type.DATA, 1, offset=1_000, payload=data[1_000:2_500])
        scene.say(Type.RESULT, 1, offset=2_500, content=Result(), payload=data[2_500:])
        assert scene.content("k") == data
        first = scene.events("k")[0]
        assert isinstance(first, Accepting)
        assert first.accepted.identity == "i"

    def test_a_repeated_piece_is_ignored(self) -> None:
        scene = downloading()
        scene.say(Type.DATA, 1, offset=0, payload=b"abc")
        scene.say(Type.DATA, 1, offset=0, payload=b"abc")
        scene.say(Type.DATA, 1, offset=3, payload=b"def")
        assert scene.content("k") == b"abcdef"

    def test_a_gap_is_an_error_and_the_worker_is_told(self) -> None:
        scene = downloading()
        scene.say(Type.DATA, 1, offset=0, payload=b"abc")
        sent = scene.say(Type.DATA, 1, offset=4, payload=b"ef")
        assert isinstance(scene.error("k"), DataLossError)
        assert [m.type for m in sent] == [Type.CANCEL]

    @pytest.mark.parametrize("offset", [2, 4])
    def test_an_end_elsewhere_is_data_loss_and_no_short_object(
        self, offset: int
    ) -> None:
        scene = downloading()
        scene.say(Type.DATA, 1, offset=0, payload=b"abc")
        scene.say(Type.RESULT, 1, offset=offset, content=Result())
        assert isinstance(scene.error("k"), DataLossError)

    def test_more_than_was_granted_ends_the_download(self) -> None:
        scene = downloading(window=10)
        scene.say(Type.DATA, 1, offset=0, payload=b"x" * 11)
        assert isinstance(scene.error("k"), ProtocolError)
        assert scene.core.is_open

    def test_want_is_answered_at_once(self) -> None:
        scene = downloading(window=4_096)
        (credit,) = scene.say(
            Type.DATA, 1, offset=0, payload=b"x" * 4_096, flags=Flag.WANT
        )
        assert (credit.type, credit.offset, credit.limit) == (Type.CREDIT, 4_096, 4_096)
        (more,) = scene.consumed("k", 4_096)
        assert (more.offset, more.limit) == (4_096, 8_192)

    @pytest.mark.parametrize(
        ("window", "each"),
        [
            (ACK_BYTES_MIN, ACK_BYTES_MIN),
            (4 * ACK_BYTES_MIN, 2 * ACK_BYTES_MIN),
            (4 * ACK_BYTES_MAX, ACK_BYTES_MAX),
        ],
    )
    def test_credit_is_reported_now_and_then(self, window: int, each: int) -> None:
        scene = downloading(window=window)
        piece = ACK_BYTES_MIN // 4
        sent = []
        for at in range(0, window, piece):
            sent += scene.say(Type.DATA, 1, offset=at, payload=b"x" * piece)
        assert [m.type for m in sent] == [Type.CREDIT] * (window // each)
        assert [m.offset for m in sent] == list(range(each, window + 1, each))

    def test_what_is_not_consumed_stays_within_the_window(self) -> None:
        scene = downloading(window=10_000)
        at = 0
        limit = 10_000
        rng = random.Random(4)
        unread = 0
        for _ in range(500):
            if limit > at and rng.random() < 0.6:
                count = rng.randint(1, limit - at)
                sent = scene.say(Type.DATA, 1, offset=at, payload=b"x" * count)
                at += count
                unread += count
            else:
                count = rng.randint(0, unread)
                unread -= count
                sent = scene.consumed("k", count)
            for credit in sent:
                assert credit.limit >= limit
                limit = credit.limit
            assert unread <= 10_000
        assert at > 50_000

    def test_the_clock_runs_from_piece_to_piece(self) -> None:
        scene = downloading(budget_s=10.0)
        for number in range(5):
            scene.pass_time(0.9)
            scene.say(Type.DATA, 1, offset=number, payload=b"x")
            scene.consumed("k", 1)
        scene.say(Type.PONG, 0, offset=1)
        for _ in range(11):
            scene.say(Type.PONG, 0, offset=1)
            scene.pass_time(0.95)
        assert isinstance(scene.error("k"), DeadlineExceededError)

    def test_the_clock_stands_still_while_the_application_rests(self) -> None:
        scene = downloading(budget_s=2.0)
        scene.say(Type.DATA, 1, offset=0, payload=b"ab")
        for _ in range(100):
            scene.pass_time(0.9)
            scene.say(Type.PONG, 0, offset=1)
        scene.consumed("k", 1)
        assert isinstance(scene.events("k")[-1], Arrived)
        scene.consumed("k", 1)  # now it waits for the worker again
        for _ in range(3):
            scene.pass_time(0.9)
            scene.say(Type.PONG, 0, offset=1)
        assert isinstance(scene.error("k"), DeadlineExceededError)

    def test_progress_is_no_progress_for_a_download(self) -> None:
        scene = downloading(budget_s=2.0)
        for _ in range(5):
            scene.pass_time(0.5)
            scene.say(Type.PROGRESS, 1, content=Progress(done=1))
        assert isinstance(scene.error("k"), DeadlineExceededError)

    def test_abandoning_it_cancels_it(self) -> None:
        scene = downloading()
        sent = scene.after(scene.core.abandon("k", scene.now))
        assert [m.type for m in sent] == [Type.CANCEL]
        scene.say(Type.DATA, 1, offset=0, payload=b"abc")
        scene.say(Type.RESULT, 1, offset=3, content=Result())
        assert scene.events("k") == []


class TestUpload:
    def test_bytes_go_out_within_credit(self) -> None:
        scene = uploading(limit=1_000, size=5, durable=5)
        data = pattern(2_500)
        (first,) = scene.write("k", data)
        assert (first.offset, len(first.payload)) == (0, 1_000)
        assert first.flags & Flag.WANT  # nothing more may go
        assert scene.write("k", b"tail") == []
        sent = scene.say(
            Type.CREDIT, 1, offset=1_000, limit=5_000, content=Progress(durable=900)
        )
        assert b"".join(bytes(m.payload) for m in [first, *sent]) == data + b"tail"
        assert not any(m.flags & Flag.WANT for m in sent)
        last = scene.events("k")[-1]
        assert last == Sent(2_504, 5_000, 900, scene.now)

    def test_large_pieces_are_cut_to_the_protocols_limit(self) -> None:
        scene = uploading(limit=10 * CHUNK_BYTES_MAX)
        data = pattern(2 * CHUNK_BYTES_MAX + 77)
        sent = scene.write("k", data)
        sizes = [len(m.payload) for m in sent]
        assert sizes == [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 77]
        assert b"".join(bytes(m.payload) for m in sent) == data

    def test_commit_waits_for_the_bytes_and_carries_their_number(self) -> None:
        scene = uploading(limit=3)
        scene.write("k", b"abcdef")
        assert scene.end("k", Type.COMMIT) == []
        data, commit = scene.say(Type.CREDIT, 1, offset=3, limit=100)
        assert bytes(data.payload) == b"def"
        assert (commit.type, commit.offset) == (Type.COMMIT, 6)
        scene.say(Type.RESULT, 1, content=Result(size=6))
        assert scene.finished("k").result.size == 6

    def test_an_upload_of_nothing_is_committed_at_once(self) -> None:
        scene = uploading()
        (commit,) = scene.end("k", Type.COMMIT)
        assert (commit.type, commit.offset) == (Type.COMMIT, 0)

    def test_detach_waits_for_the_bytes_too(self) -> None:
        scene = uploading(limit=3)
        scene.write("k", b"abcdef")
        assert scene.end("k", Type.DETACH) == []
        sent = scene.say(Type.CREDIT, 1, offset=3, limit=100)
        assert [m.type for m in sent] == [Type.DATA, Type.DETACH]

    def test_who_has_got_no_accept_says_so(self) -> None:
        scene = uploading()
        scene.open("new", Operation.WRITE)
        scene.take()
        (known,) = scene.after(scene.core.abandon("k", scene.now))
        (unknown,) = scene.after(scene.core.abandon("new", scene.now))
        assert (known.type, known.code) == (Type.DETACH, 0)
        assert (unknown.type, unknown.code) == (Type.DETACH, UNTOLD)

    def test_cancel_goes_out_at_once_and_drops_the_rest(self) -> None:
        scene = uploading(limit=3)
        scene.write("k", b"abcdef")
        (cancel,) = scene.end("k", Type.CANCEL)
        assert cancel.type is Type.CANCEL
        assert scene.say(Type.CREDIT, 1, offset=3, limit=100) == []
        scene.fail(1, CancelledError())
        assert isinstance(scene.error("k"), CancelledError)

    def test_cancel_after_commit_is_sent_and_either_answer_ends_it(self) -> None:
        scene = uploading()
        scene.end("k", Type.COMMIT)
        (cancel,) = scene.end("k", Type.CANCEL)
        assert cancel.type is Type.CANCEL
        scene.say(Type.RESULT, 1, content=Result())
        scene.finished("k")

    def test_an_error_of_the_worker_carries_what_is_durable(self) -> None:
        scene = uploading(durable=70, size=80)
        scene.write("k", b"abc")
        scene.fail(1, StorageFullError("no space"))
        error = scene.error("k")
        assert isinstance(error, StorageFullError)
        assert error.durable == 70

    def test_a_lost_session_too(self) -> None:
        scene = uploading(durable=70, size=80)
        scene.lose()
        assert scene.error("k").durable == 70

    def test_an_idle_upload_may_rest(self) -> None:
        scene = uploading(budget_s=1.0)
        scene.write("k", b"abc")
        for _ in range(50):
            scene.pass_time(0.9)
            scene.say(Type.PONG, 0, offset=1)
        assert isinstance(scene.events("k")[-1], Sent)

    def test_credit_that_never_comes_is_a_deadline(self) -> None:
        scene = uploading(limit=2, budget_s=3.0)
        scene.write("k", b"abc")
        scene.take()
        for _ in range(4):
            scene.say(Type.PONG, 0, offset=1)
            scene.say(Type.CREDIT, 1, offset=2, limit=2)  # says nothing new
            scene.pass_time(0.9)
        assert isinstance(scene.error("k"), DeadlineExceededError)
        ends = [m for m in scene.take() if m.type is Type.DETACH]
        assert [m.offset for m in ends] == [2]

    def test_slow_credit_is_progress(self) -> None:
        scene = uploading(limit=1, budget_s=2.0)
        scene.write("k", bytes(100))
        for number in range(2, 12):
            scene.pass_time(0.9)
            scene.say(Type.CREDIT, 1, offset=number - 1, limit=number)
        assert isinstance(scene.events("k")[-1], Sent)

    def test_a_long_commit_lives_by_its_progress(self) -> None:
        scene = uploading(budget_s=3.0)
        scene.end("k", Type.COMMIT)
        for number in range(1, 1_000):
            scene.pass_time(2.9)
            scene.say(Type.PROGRESS, 1, content=Progress(done=number))
        assert isinstance(scene.events("k")[-1], Moved)
        scene.say(Type.RESULT, 1, content=Result())
        scene.finished("k")

    @pytest.mark.parametrize("done", [None, 0, 7])
    def test_signs_of_life_without_a_higher_count_do_not_keep_it(
        self, done: int | None
    ) -> None:
        scene = uploading(budget_s=3.0)
        scene.end("k", Type.COMMIT)
        scene.pass_time(2.0)
        scene.say(Type.PROGRESS, 1, content=Progress(done=7))
        for _ in range(5):
            scene.pass_time(0.5)
            scene.say(Type.PROGRESS, 1, content=Progress(done=done))
        assert isinstance(scene.events("k")[-1], Moved)
        scene.pass_time(0.6)
        assert isinstance(scene.error("k"), DeadlineExceededError)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.binary(min_size=1, max_size=300), max_size=12),
        st.lists(st.integers(0, 400), min_size=1, max_size=40),
    )
    def test_whatever_the_credit_the_bytes_arrive_in_order(
        self, writes: list[bytes], grants: list[int]
    ) -> None:
        scene = uploading(limit=grants[0])
        sent: list[Message] = []
        for data in writes:
            sent += scene.write("k", data)
        sent += scene.end("k", Type.COMMIT)
        limit = grants[0]
        total = sum(map(len, writes))
        for grant in [*grants[1:], total]:
            limit += grant
            at = sum(len(m.payload) for m in sent)
            sent += scene.say(Type.CREDIT, 1, offset=at, limit=limit)
        received = bytearray()
        for message in sent[:-1]:
            assert message.type is Type.DATA
            assert message.offset == len(received)
            received += message.payload
        assert bytes(received) == b"".join(writes)
        assert (sent[-1].type, sent[-1].offset) == (Type.COMMIT, total)


class TestLanes:
    def test_a_download_is_told_where_its_bytes_lie(self) -> None:
        scene = downloading(window=4_000)
        scene.say(Type.ACCEPT, 1, content=Accepted(lane="memory"))
        scene.say(Type.DATA, 1, offset=0, payload=b"x" * 100)
        assert scene.say(Type.DATA, 1, offset=100, lane=1_000) == []
        assert scene.events("k")[-1] == InLane(100, 1_000)
        scene.say(Type.DATA, 1, offset=100, lane=1_000)  # a repetition
        assert scene.events("k")[-1] == InLane(100, 1_000)
        scene.say(Type.RESULT, 1, offset=9_100, content=Result())
        assert scene.events("k")[-1] == Finished(Result(), b"", 9_100)

    def test_the_broker_is_answered_when_the_stream_leaves_it(self) -> None:
        scene = downloading(window=8 * ACK_BYTES_MIN)
        scene.say(Type.ACCEPT, 1, content=Accepted(lane="memory"))
        (first,) = scene.say(
            Type.DATA, 1, offset=0, lane=ACK_BYTES_MIN // 2, flags=int(Flag.WANT)
        )
        assert first.offset == ACK_BYTES_MIN // 2

    @pytest.mark.parametrize("upload", [True, False])
    def test_who_waits_for_the_bell_does_not_wait_for_ever(self, upload: bool) -> None:
        if upload:
            scene = uploading(limit=1_000, budget_s=1.0)
            scene.write_lane("k", 1_000)
        else:
            scene = downloading(window=4_000, budget_s=1.0)
            scene.say(Type.ACCEPT, 1, content=Accepted(lane="memory"))
            scene.say(Type.DATA, 1, offset=0, lane=1_000)
        scene.pass_time(1.2)
        scene.stall("k")
        scene.pass_time(0.9)
        scene.move_on("k")
        scene.pass_time(1.2)
        scene.stall("k")
        scene.pass_time(0.5)
        scene.stall("k")  # said twice
        scene.pass_time(0.6)
        assert isinstance(scene.error("k"), DeadlineExceededError)
        scene.stall("k")
        scene.move_on("k")

    def test_more_than_the_ring_holds_is_an_offence(self) -> None:
        scene = downloading(window=4_000)
        scene.say(Type.ACCEPT, 1, content=Accepted(lane="memory"))
        scene.say(Type.DATA, 1, offset=0, lane=4_001)
        assert scene.error("k")

    def test_an_upload_says_what_lies_there(self) -> None:
        scene = uploading(limit=1_000)
        (first,) = scene.write_lane("k", 400)
        assert (first.offset, first.lane, first.payload) == (0, 400, b"")
        assert first.flags == Flag.WANT, "the broker has to be told"
        assert scene.events("k")[-1][:3] == (400, 1_000, 0)
        (commit,) = scene.end("k", Type.COMMIT, 9_000)
        assert commit.offset == 9_000

    def test_who_waits_in_front_of_the_ring_does_not_wait_for_ever(self) -> None:
        scene = uploading(limit=1_000, budget_s=2.0)
        scene.write("k", b"x" * 1_000)
        scene.pass_time(2.5)
        scene.starve("k")
        scene.pass_time(1.9)
        scene.say(Type.CREDIT, 1, offset=1_000, limit=1_500, content=Progress())
        assert scene.events("k")[-1][:3] == (1_000, 1_500, 0)
        scene.write("k", b"x" * 500)
        scene.starve("k")
        scene.pass_time(2.1)
        assert isinstance(scene.error("k"), DeadlineExceededError)

    def test_who_waits_though_there_is_credit_is_told(self) -> None:
        scene = uploading(limit=1_000)
        before = len(scene.events("k"))
        scene.starve("k")
        assert [event[:3] for event in scene.events("k")[before:]] == [(0, 1_000, 0)]

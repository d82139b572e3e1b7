"""The application's end of a memory lane, and the handle that waits at it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loose_lane import Lane

from storagebus.broker.bell import Bell
from storagebus.broker.messages import Operation, Result
from storagebus.client.handles import STALL_S, Handle
from storagebus.client.laneend import BREATH_BYTES, PIECE_BYTES, LaneEnd
from storagebus.client.requests import Failed, Finished, InLane, Request, Sent
from storagebus.client.waiting import run_now
from storagebus.drivers.errors import DataLossError, ProtocolError, UnavailableError

SIZE = 1 << 16
DATA = random.Random(8).randbytes(5 * SIZE)


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane(SIZE)
    yield made
    made.bell.close()
    made.client.close()


class TestEnd:
    """Here `lane.bell` is the application's, `lane.client` the worker's."""

    def test_a_download_round_and_round(self, lane: Lane) -> None:
        end = LaneEnd(lane)
        ring, sent, got = lane.segment, 0, bytearray()
        end.begin(0, 0)
        while len(got) < len(DATA):
            lane.client.heard()
            limit = max(SIZE, lane.client.mark)
            count = min(limit - sent, ring.room(sent), len(DATA) - sent, 7_001)
            ring.part(sent, count)[:] = DATA[sent : sent + count]
            sent += count
            lane.client.ring(sent)
            end.give_back(more=True)
            piece = end.piece(None)
            got += piece if piece is not None else b""
        assert got == DATA

    def test_the_ring_is_not_given_back_while_it_is_looked_at(self, lane: Lane) -> None:
        end = LaneEnd(lane)
        end.begin(0, SIZE)
        end.give_back(more=True)
        lane.client.heard()
        assert lane.client.mark == SIZE
        assert end.piece(None) is not None
        assert not lane.client.heard()
        end.give_back(more=False)
        assert not lane.client.heard(), "the worker has no more to send"
        assert end.piece(SIZE) is None

    def test_the_end_says_what_the_bell_did_not(self, lane: Lane) -> None:
        end = LaneEnd(lane)
        end.begin(10, 5)
        piece = end.piece(1_010)
        assert piece is not None and len(piece) == 1_000

    @pytest.mark.parametrize(
        ("mark", "size", "error"),
        [
            (101, 100, DataLossError),
            (SIZE + 1, None, ProtocolError),
            (1 << 63, None, ProtocolError),
            (0, SIZE + 1, ProtocolError),
        ],
    )
    def test_numbers_that_cannot_be(
        self, lane: Lane, mark: int, size: int | None, error: type[Exception]
    ) -> None:
        end = LaneEnd(lane)
        end.begin(0, 0)
        lane.client.ring(mark)
        with pytest.raises(error):
            end.piece(size)

    def test_bytes_are_put_within_what_is_granted(self, lane: Lane) -> None:
        end = LaneEnd(lane)
        view = memoryview(DATA)
        assert end.put(view, 0, 0) == 0
        assert end.put(view, 0, 100) == 100
        lane.client.ring(SIZE + 50)
        assert end.put(view[100:], 100, 100) == SIZE - 100, "not beyond its edge"
        assert end.put(view[SIZE:], SIZE, 100) == 50
        assert lane.segment.view[:50] == DATA[SIZE : SIZE + 50]
        assert lane.segment.view[50:] == DATA[50:SIZE]

    def test_others_have_their_turn(self, lane: Lane) -> None:
        end = LaneEnd(lane)
        assert not end.is_out_of_breath()
        for at in range(0, BREATH_BYTES, SIZE):
            assert end.put(memoryview(DATA), at, at + SIZE) == SIZE
        assert end.is_out_of_breath()
        assert not end.is_out_of_breath()

    def test_pieces_end_at_multiples(self) -> None:
        lane = Lane(4 * PIECE_BYTES)
        end = LaneEnd(lane)
        end.begin(100, 3 * PIECE_BYTES)
        sizes = []
        while (piece := end.piece(None)) is not None:
            sizes.append(len(piece))
            del piece
            end.give_back(more=True)
        assert sizes == [PIECE_BYTES - 100, PIECE_BYTES, PIECE_BYTES, 100]
        end.close()
        lane.client.close()


class Scene:
    """A handle whose port only notes what is posted, and whose waits are scripted.

    Attributes:
        posted: names of the connection's methods.
        script: what happens in each wait.
    """

    def __init__(self, lane: Lane, operation: Operation) -> None:
        self.posted: list[str] = []
        self.script: list[Callable[[], Any]] = []
        self.waits: list[float | None] = []
        self.handle = Handle(self, self, self, Request(operation, b"", 1.0))  # type: ignore[arg-type]
        self.handle.adopt(lane)
        self.posted.clear()

    def __getattr__(self, name: str) -> str:
        return name  # as a method of the connection

    def now(self) -> float:
        return 7.0

    def post(self, action: Any, *arguments: Any) -> None:
        self.posted.append(action)

    def set(self) -> None:
        pass

    async def wait(self) -> None:
        self.waits.append(None)
        self.script.pop(0)()

    async def hear(self, bell: Bell, within_s: float) -> None:
        self.waits.append(within_s)
        if within_s:
            self.script.pop(0)()

    def deafen(self) -> None:
        self.posted.append("deafen")

    def release(self) -> None:
        self.posted.append("release")


class TestHandle:
    def test_a_silent_worker_starts_the_clock_once(self, lane: Lane) -> None:
        scene = Scene(lane, Operation.READ)
        scene.handle.take(InLane(0, 0))
        lane.segment.view[:3] = b"abc"
        nothing = lambda: None  # noqa: E731
        scene.script = [nothing, nothing, lambda: lane.client.ring(3)]
        assert bytes(run_now(scene.handle.piece()) or b"") == b"abc"
        assert scene.waits == [STALL_S] * 3
        assert scene.posted == ["stall", "move_on"]

    def test_a_bell_that_is_cut_leaves_the_word_to_the_broker(self, lane: Lane) -> None:
        scene = Scene(lane, Operation.READ)
        scene.handle.take(InLane(0, 0))
        error = UnavailableError("gone")
        scene.script = [lane.client.close, lambda: scene.handle.take(Failed(error))]
        with pytest.raises(UnavailableError):
            run_now(scene.handle.piece())
        assert scene.waits == [STALL_S, None]
        assert scene.posted == ["stall"]

    def test_what_had_arrived_comes_before_the_error(self, lane: Lane) -> None:
        scene = Scene(lane, Operation.READ)
        scene.handle.take(InLane(0, 10))
        lane.client.ring(20)
        scene.handle.take(Failed(UnavailableError("gone")))
        assert len(run_now(scene.handle.piece()) or b"") == 20
        with pytest.raises(UnavailableError):
            run_now(scene.handle.piece())

    def test_the_end_is_the_end(self, lane: Lane) -> None:
        scene = Scene(lane, Operation.READ)
        scene.handle.take(InLane(0, 10))
        scene.script = [lambda: scene.handle.take(Finished(Result(), b"", 12))]
        assert len(run_now(scene.handle.piece()) or b"") == 10
        assert len(run_now(scene.handle.piece()) or b"") == 2
        assert run_now(scene.handle.piece()) is None
        scene.handle.release()
        assert scene.posted == ["deafen", "release"]
        assert lane.closed

    def test_an_upload_tells_the_broker_first_and_then_rings(self, lane: Lane) -> None:
        scene = Scene(lane, Operation.WRITE)
        scene.script = [
            lambda: scene.handle.take(Sent(0, 100, 0)),
            lambda: lane.client.ring(SIZE + 1_000, 700),
        ]
        run_now(scene.handle.write(DATA[: SIZE + 1_000]))
        assert scene.posted == ["starve", "write_lane"]
        assert scene.waits == [None, STALL_S]
        assert scene.handle.durable == 700
        lane.client.heard()
        assert lane.client.mark == SIZE + 1_000
        assert lane.segment.view[:1_000] == DATA[SIZE : SIZE + 1_000]

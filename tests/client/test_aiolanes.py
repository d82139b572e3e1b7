"""Call lanes on an event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine

import pytest

from storagebus.broker.lanes import WORD
from storagebus.broker.messages import Operation
from storagebus.broker.packets import from_packet, to_packet
from storagebus.broker.wire import Message, Type
from storagebus.client import aiolanes
from storagebus.client.aiolanes import (
    QUEUE_LANES_MIN,
    LoopLane,
    LoopLanePool,
    LoopLanes,
)
from storagebus.client.calllanes import Answer

Scene = Callable[[LoopLane, socket.socket], Coroutine[None, None, None]]


def play(scene: Scene) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.settimeout(5)
        lane = LoopLanes(asyncio.get_running_loop()).make(ours)
        theirs.send(WORD)
        try:
            await asyncio.wait_for(scene(lane, theirs), 20)
        finally:
            lane.close()
            theirs.close()

    asyncio.run(main())


def ask(lane: LoopLane, payload: bytes = b"") -> asyncio.Task[Answer | None]:
    return asyncio.ensure_future(lane.ask(Operation.PUT, b"", payload, False))


def answer(theirs: socket.socket) -> Message:
    message = from_packet(theirs.recv(100_000))
    result = Message(Type.RESULT, message.stream, payload=message.payload)
    theirs.send(b"".join(to_packet(result)))
    return message


def test_calls_one_after_another() -> None:
    async def scene(lane: LoopLane, theirs: socket.socket) -> None:
        for number in range(1, 20):
            asked = ask(lane, b"%d" % number)
            await asyncio.sleep(0)
            assert answer(theirs).stream == number
            result = await asked
            assert result is not None and result.message.payload == b"%d" % number
        assert not lane.closed

    play(scene)


def test_a_worker_that_leaves_while_nothing_is_asked() -> None:
    async def scene(lane: LoopLane, theirs: socket.socket) -> None:
        theirs.close()
        while not lane.closed:
            await asyncio.sleep(0.01)
        assert await lane.ask(Operation.STAT, b"", b"", False) is None

    play(scene)


def test_a_worker_that_leaves_a_call_unanswered() -> None:
    async def scene(lane: LoopLane, theirs: socket.socket) -> None:
        asked = ask(lane)
        await asyncio.sleep(0)
        theirs.close()
        assert await asked is None
        assert lane.closed

    play(scene)


def test_a_task_that_is_cancelled_closes_the_lane() -> None:
    async def scene(lane: LoopLane, theirs: socket.socket) -> None:
        asked = ask(lane)
        await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert lane.closed
        assert from_packet(theirs.recv(100_000)).stream == 1
        assert theirs.recv(100) == b""  # the worker hears of it

    play(scene)


def test_a_worker_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiolanes, "PATIENCE_S", 0.1)
    monkeypatch.setattr(aiolanes, "SWEEP_S", 0.02)

    async def scene(lane: LoopLane, theirs: socket.socket) -> None:
        began = asyncio.get_running_loop().time()
        assert await lane.ask(Operation.STAT, b"", b"", False) is None
        assert 0.1 <= asyncio.get_running_loop().time() - began < 2
        assert lane.closed

    play(scene)


def test_what_nobody_asked_for_closes_the_lane() -> None:
    async def scene(lane: LoopLane, theirs: socket.socket) -> None:
        asked = ask(lane)
        await asyncio.sleep(0)
        answer(theirs)
        await asked
        theirs.send(b"more")
        while not lane.closed:
            await asyncio.sleep(0.01)

    play(scene)


def test_a_file_comes_with_an_answer() -> None:
    async def scene(lane: LoopLane, theirs: socket.socket) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b"content")
            file.flush()
            for takes in (True, False):
                asked = asyncio.ensure_future(lane.ask(Operation.READ, b"", b"", takes))
                await asyncio.sleep(0)
                number = from_packet(theirs.recv(100_000)).stream
                parts = [bytes(p) for p in to_packet(Message(Type.RESULT, number))]
                socket.send_fds(theirs, parts, [file.fileno()])
                answer = await asked
                assert answer is not None
                assert (answer.file is not None) == takes
                if answer.file is not None:
                    assert os.pread(answer.file.fileno(), 9, 0) == b"content"

    play(scene)


class Pool:
    """A pool whose lanes are answered by tasks."""

    def __init__(self, lanes: int) -> None:
        self.pool = LoopLanePool(asyncio.get_running_loop())
        self.theirs: list[socket.socket] = []
        for _ in range(lanes):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            theirs.setblocking(False)
            self.theirs.append(theirs)
            self.pool.count += 1
            self.pool.give_back(LoopLanes(asyncio.get_running_loop()).make(ours))

    def close(self) -> None:
        self.pool.close()
        for theirs in self.theirs:
            theirs.close()


def test_calls_wait_for_a_lane_where_there_are_many() -> None:
    async def main() -> None:
        scene = Pool(QUEUE_LANES_MIN)
        pool, now = scene.pool, time.monotonic()
        lent = [await pool.lane(Operation.STAT, now) for _ in range(QUEUE_LANES_MIN)]
        first, second, third, fourth = (
            asyncio.ensure_future(pool.lane(Operation.STAT, now)) for _ in range(4)
        )
        await asyncio.sleep(0)
        assert not first.done()
        second.cancel()
        lane, closed, *rest = lent
        assert lane is not None and closed is not None
        pool.give_back(lane)
        assert await first is lane
        closed.close()
        pool.give_back(closed)
        assert await third is None  # the bus, then, and a lane less
        assert pool.count == QUEUE_LANES_MIN - 1
        pool.give_back(lane)  # given to the fourth, who has just been cancelled
        fourth.cancel()
        await asyncio.gather(second, fourth, return_exceptions=True)
        assert await pool.lane(Operation.STAT, now) is lane
        late = asyncio.ensure_future(pool.lane(Operation.STAT, now))
        await asyncio.sleep(0)
        assert late.done() and late.result() is None  # fewer than many: the bus
        for one in [lane, *rest]:
            assert one is not None
            pool.give_back(one)
        scene.close()

    asyncio.run(main())


def test_a_pool_that_closes_keeps_nobody_waiting() -> None:
    async def main() -> None:
        scene = Pool(QUEUE_LANES_MIN)
        pool, now = scene.pool, time.monotonic()
        lent = [await pool.lane(Operation.STAT, now) for _ in range(QUEUE_LANES_MIN)]
        waits = asyncio.ensure_future(pool.lane(Operation.STAT, now))
        await asyncio.sleep(0)
        scene.close()
        assert await waits is None
        for lane in lent:
            assert lane is not None
            pool.give_back(lane)
            assert lane.closed

    asyncio.run(main())

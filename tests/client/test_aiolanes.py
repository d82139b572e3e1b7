"""Call lanes on an event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine

import pytest

from storagebus.broker.lanes import WORD
from storagebus.broker.messages import Operation
from storagebus.broker.packets import from_packet, to_packet
from storagebus.broker.wire import Message, Type
from storagebus.client import aiolanes
from storagebus.client.aiolanes import LoopLane, LoopLanes

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


def ask(lane: LoopLane, payload: bytes = b"") -> asyncio.Task[Message | None]:
    return asyncio.ensure_future(lane.ask(Operation.PUT, b"", payload))


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
            assert result is not None and result.payload == b"%d" % number
        assert not lane.closed

    play(scene)


def test_a_worker_that_leaves_while_nothing_is_asked() -> None:
    async def scene(lane: LoopLane, theirs: socket.socket) -> None:
        theirs.close()
        while not lane.closed:
            await asyncio.sleep(0.01)
        assert await lane.ask(Operation.STAT, b"", b"") is None

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
        assert await lane.ask(Operation.STAT, b"", b"") is None
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

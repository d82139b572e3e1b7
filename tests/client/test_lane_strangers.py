"""A worker that lies about lanes spoils its own streams, and no client."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zmq
from bus import TestPeer, running, settings_at

from storagebus.broker.lanes import abstract_name, host_mark, new_address
from storagebus.broker.messages import Accepted, Open, Operation, Result, pack, parse
from storagebus.broker.segment import Segment, make_segment
from storagebus.broker.wire import Message, Type
from storagebus.client import Client
from storagebus.drivers.errors import ProtocolError, StorageError

SIZE = 1 << 16
TOKEN = b"t" * 16
DEADLINE_S = 3.0
DATA = Random(3).randbytes(SIZE)


class Liar:
    """A worker of which the test says what it answers to each OPEN.

    Attributes:
        asked: what clients have said of lanes.
    """

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._peer = TestPeer(
            self._context, endpoint, "worker", features=("lane",), slots=8, streams=8
        )
        self._peer.greet()
        self.address = new_address()
        self._side = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._side.bind(abstract_name(self.address) or b"")
        self._side.listen()
        self.asked: list[Open] = []
        self._answers: list[Callable[[int], None]] = []
        self._thread: threading.Thread | None = None

    def say(self, kind: Type, stream: int, content: Any = None, **more: Any) -> None:
        if content is not None:
            more["fields"] = pack(content)
        self._peer.say(kind, stream, **more)

    def accept(self, stream: int, **more: Any) -> None:
        offer = {"lane_address": self.address, "lane_token": TOKEN, "lane_bytes": SIZE}
        self.say(Type.ACCEPT, stream, Accepted(**offer, **more))

    def hand_over(self, fd: int) -> socket.socket:
        """Give a descriptor to the next visitor, and hear its word; the lane's bell."""
        visitor, _ = self._side.accept()
        visitor.settimeout(5)
        assert visitor.recv(100) == TOKEN
        socket.send_fds(visitor, [b"L"], [fd])
        assert visitor.recv(10) == b"L"
        return visitor

    def answer(self, *answers: Callable[[int], None]) -> None:
        """Answer that many OPENs with bytes, one after the other, and go on with
        what the last does."""

        def work() -> None:
            for act in answers:
                opened = self._next_open()
                act(opened.stream)

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def _next_open(self) -> Message:
        while True:
            message = self._peer.next()
            if message.type is Type.OPEN:
                self.asked.append(parse(Open, message.fields))
                assert message.code == Operation.READ
                return message

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._side.close()
        self._peer.close()
        self._context.destroy(0)


@pytest.fixture
def liar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    monkeypatch.setenv("STORAGEBUS_LANE", "memory")
    settings = settings_at(tmp_path)
    with running(settings):
        made = Liar(settings.workers[0])
        yield made
        made.close()


def client_of(tmp_path: Path) -> Client:
    return Client(f"ipc://{tmp_path}/clients", deadline=DEADLINE_S)


def honest(liar: Liar) -> Callable[[int], None]:
    """Answers with the content, without a lane."""
    return lambda stream: liar.say(Type.RESULT, stream, Result(), payload=DATA)


def read(client: Client) -> bytes:
    with client.reader("/a") as stream:
        return stream.read()


def test_what_is_asked(liar: Liar, tmp_path: Path) -> None:
    liar.answer(honest(liar))
    with client_of(tmp_path) as client:
        assert read(client) == DATA
    (asked,) = liar.asked
    assert (asked.lane, asked.lane_kinds) == (host_mark(), ("memory",))
    assert asked.lane_window > SIZE


def by_ring(liar: Liar, segment: Segment, fd: int, **lie: int) -> Callable[[int], None]:
    def act(stream: int) -> None:
        liar.accept(stream, lane="memory")
        liar.hand_over(fd).close()
        segment.view[:] = DATA
        liar.say(Type.DATA, stream, **({"offset": 0, "lane": SIZE} | lie))
        liar.say(Type.RESULT, stream, Result(), offset=SIZE)

    return act


def test_a_ring_of_an_honest_stranger(liar: Liar, tmp_path: Path) -> None:
    segment, fd = make_segment(SIZE, writable=False)
    liar.answer(by_ring(liar, segment, fd))
    with client_of(tmp_path) as client:
        assert read(client) == DATA
    segment.close()
    os.close(fd)


def test_bytes_beyond_the_ring(liar: Liar, tmp_path: Path) -> None:
    segment, fd = make_segment(SIZE, writable=False)
    liar.answer(by_ring(liar, segment, fd, lane=SIZE + 1), honest(liar))
    with client_of(tmp_path) as client:
        with pytest.raises(StorageError):
            read(client)
        assert read(client) == DATA
    segment.close()
    os.close(fd)


@pytest.mark.parametrize("mark", [SIZE + 1, 2**64 - 1])
def test_a_bell_that_tells_of_more_than_there_can_be(
    liar: Liar, tmp_path: Path, mark: int
) -> None:
    segment, fd = make_segment(SIZE, writable=False)

    def act(stream: int) -> None:
        liar.accept(stream, lane="memory")
        with liar.hand_over(fd) as bell:
            bell.send(b"no strike")
            liar.say(Type.DATA, stream, offset=0, lane=1)
            bell.send(mark.to_bytes(8) + bytes(8))

    liar.answer(act, honest(liar))
    with client_of(tmp_path) as client:
        with pytest.raises(StorageError):
            read(client)
        assert read(client) == DATA
    segment.close()
    os.close(fd)


def test_a_bell_that_falls_silent_costs_no_more_than_the_deadline(
    liar: Liar, tmp_path: Path
) -> None:
    segment, fd = make_segment(SIZE, writable=False)
    over = threading.Event()

    def act(stream: int) -> None:
        liar.accept(stream, lane="memory")
        with liar.hand_over(fd):
            liar.say(Type.DATA, stream, offset=0, lane=1)
            over.wait(30)

    liar.answer(act)
    began = time.monotonic()
    with client_of(tmp_path) as client, pytest.raises(StorageError):
        read(client)
    assert time.monotonic() - began < 5 * DEADLINE_S
    over.set()
    segment.close()
    os.close(fd)


def test_bytes_in_a_lane_that_was_never_offered(liar: Liar, tmp_path: Path) -> None:
    def act(stream: int) -> None:
        liar.say(Type.ACCEPT, stream, Accepted())
        liar.say(Type.DATA, stream, offset=0, lane=SIZE)

    liar.answer(act, honest(liar))
    with client_of(tmp_path) as client:
        with pytest.raises(StorageError, match="lane that was not taken"):
            read(client)
        assert read(client) == DATA


def test_a_ring_that_is_never_to_be_had(liar: Liar, tmp_path: Path) -> None:
    """The address leads nowhere: the bytes go the other way."""

    def act(stream: int) -> None:
        nowhere = {"lane_address": new_address(), "lane_token": TOKEN}
        liar.say(Type.ACCEPT, stream, Accepted(lane="memory", lane_bytes=9, **nowhere))
        liar.say(Type.DATA, stream, offset=0, payload=DATA)
        liar.say(Type.RESULT, stream, Result(), offset=SIZE)

    liar.answer(act)
    with client_of(tmp_path) as client:
        assert read(client) == DATA


def test_a_file_that_nobody_asked_for(liar: Liar, tmp_path: Path) -> None:
    """It would be offered, and could not be had, again and again."""

    def act(stream: int) -> None:
        nowhere = {"lane_address": new_address(), "lane_token": TOKEN}
        liar.say(Type.ACCEPT, stream, Accepted(lane="file", lane_bytes=9, **nowhere))

    liar.answer(act, honest(liar))
    with client_of(tmp_path) as client:
        with pytest.raises(ProtocolError, match="file that was not asked for"):
            read(client)
        assert read(client) == DATA

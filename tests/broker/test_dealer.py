"""broker/dealer.py against a raw ROUTER."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import zmq
from bus import until

from storagebus.broker.dealer import COPY_BYTES_MAX, Dealer, Link
from storagebus.broker.wire import Message, Type, decode, encode
from storagebus.drivers.errors import ProtocolError

Context = zmq.Context[zmq.Socket[bytes]]


@pytest.fixture
def router(context: Context, folder: Path) -> Iterator[zmq.Socket[bytes]]:
    socket = context.socket(zmq.ROUTER)
    socket.bind(f"ipc://{folder}/door")
    socket.setsockopt(zmq.RCVTIMEO, 5_000)
    yield socket
    socket.close(0)


@pytest.fixture
def dealer(context: Context, folder: Path) -> Iterator[Dealer]:
    made = Dealer(context, f"ipc://{folder}/door")
    yield made
    made.close()


def gather(dealer: Dealer) -> Callable[[], list[Message | ProtocolError]]:
    seen: list[Message | ProtocolError] = []

    def received() -> list[Message | ProtocolError]:
        seen.extend(dealer.receive(10))
        return seen

    return received


@pytest.mark.parametrize("size", [0, 1, COPY_BYTES_MAX, COPY_BYTES_MAX + 1, 1 << 20])
def test_messages_there_and_back(
    router: zmq.Socket[bytes], dealer: Dealer, size: int
) -> None:
    payload = Random(size).randbytes(size)
    kind = Type.DATA if size else Type.COMMIT
    sent = Message(kind, 7, offset=5, fields=b"\x81\xa1a\x01", payload=payload)
    until(lambda: dealer.send(sent), "the connection stands")
    identity, *frames = router.recv_multipart()
    assert decode(frames, from_broker=False) == sent
    router.send_multipart([identity, *encode(sent)])
    received = gather(dealer)
    until(lambda: bool(received()), "the message came back")
    (back,) = received()
    assert isinstance(back, Message)
    assert back._replace(payload=bytes(back.payload)) == sent


def test_what_is_no_message_is_an_error_and_the_next_one_comes(
    router: zmq.Socket[bytes], dealer: Dealer
) -> None:
    until(lambda: dealer.send(Message(Type.PING)), "the connection stands")
    identity = router.recv_multipart()[0]
    router.send_multipart([identity, b"noise"])
    router.send_multipart([identity, *[b"x"] * 1000])
    router.send_multipart([identity, *encode(Message(Type.PONG))])
    received = gather(dealer)
    until(lambda: len(received()) == 3, "all three came")
    first, second, third = received()
    assert isinstance(first, ProtocolError)
    assert isinstance(second, ProtocolError)
    assert third == Message(Type.PONG)


def test_nothing_is_taken_without_a_connection(context: Context, folder: Path) -> None:
    """IMMEDIATE: what is said goes to a broker, or is refused."""
    dealer = Dealer(context, f"ipc://{folder}/nobody")
    try:
        assert not dealer.send(Message(Type.PING))
        assert not dealer.send(Message(Type.DATA, 1, payload=bytes(COPY_BYTES_MAX + 1)))
        assert list(dealer.links()) == []
    finally:
        dealer.close()


def test_news_of_the_connection(context: Context, folder: Path) -> None:
    address = f"ipc://{folder}/door"
    dealer = Dealer(context, address)
    links: list[Link] = []

    def heard(*expected: Link) -> bool:
        links.extend(dealer.links())
        return tuple(links) == expected

    try:
        for _ in range(2):
            router = context.socket(zmq.ROUTER)
            router.bind(address)
            until(lambda: heard(Link.UP), "up")
            router.close(0)
            until(lambda: heard(Link.UP, Link.DOWN), "down")
            links.clear()
    finally:
        dealer.close()


def test_receive_is_bounded(router: zmq.Socket[bytes], dealer: Dealer) -> None:
    until(lambda: dealer.send(Message(Type.PING)), "the connection stands")
    identity = router.recv_multipart()[0]
    for token in range(10):
        router.send_multipart([identity, *encode(Message(Type.PONG, offset=token))])
    seen: list[Message | ProtocolError] = []

    def more() -> bool:
        batch = list(dealer.receive(3))
        assert len(batch) <= 3
        seen.extend(batch)
        return len(seen) == 10

    until(more, "ten messages")
    assert [m.offset for m in seen if isinstance(m, Message)] == list(range(10))

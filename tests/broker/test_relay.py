"""broker/relay.py: what the broker changes in a message that passes, and what not."""

from __future__ import annotations

import pytest
from scene import hello_of

from storagebus.broker import relay
from storagebus.broker.budget import Budget
from storagebus.broker.messages import Operation
from storagebus.broker.sessions import ClientSession, Door, Peer, Stream
from storagebus.broker.wire import Flag, Message, Type
from storagebus.drivers.errors import ProtocolError

CLIENT = ClientSession(Peer(Door.CLIENTS, b"c"), 1, hello_of("c", "client"))


def stream_of(operation: Operation, budget: Budget, granted: int = 0) -> Stream:
    stream = Stream(CLIENT, Message(Type.OPEN, 1, code=int(operation)), "s", 0.0, 1.0)
    if stream.holds_stream:
        stream.flow = budget.open()
        if granted and stream.flow is not None:
            budget.grant(stream.flow, 0, granted)
    return stream


@pytest.fixture
def budget() -> Budget:
    return Budget(8, 100, 0)


def test_only_credit_is_changed(budget: Budget) -> None:
    download = stream_of(Operation.READ, budget, 60)
    data = Message(
        Type.DATA, 1, flags=Flag.WANT, payload=memoryview(b"x" * 60), fields=b"\x80"
    )
    assert relay.to_client(budget, download, data) is data
    progress = Message(Type.PROGRESS, 1)
    assert relay.to_client(budget, download, progress) is progress
    upload = stream_of(Operation.WRITE, budget)
    accept = Message(Type.ACCEPT, 1, limit=1 << 30, fields=b"\x80")
    assert relay.to_client(budget, upload, accept) == accept._replace(limit=100)
    lower = Message(Type.CREDIT, 1, limit=50)
    assert relay.to_client(budget, upload, lower) == lower._replace(limit=100)


def test_duplicates_end_here(budget: Budget) -> None:
    download = stream_of(Operation.READ, budget, 60)
    data = Message(Type.DATA, 1, payload=b"x" * 60)
    assert relay.to_client(budget, download, data) is data
    assert relay.to_client(budget, download, data) is None
    with pytest.raises(ProtocolError, match="sent before"):
        relay.to_client(budget, download, data._replace(type=Type.RESULT))
    upload = stream_of(Operation.WRITE, budget, 60)
    assert relay.to_worker(budget, upload, data)
    assert not relay.to_worker(budget, upload, data)
    assert relay.to_worker(budget, upload, Message(Type.COMMIT, 1, offset=60))


@pytest.mark.parametrize("operation", [Operation.STAT, Operation.READ])
def test_no_bytes_to_a_stream_that_takes_none(
    budget: Budget, operation: Operation
) -> None:
    stream = stream_of(operation, budget)
    for kind in (Type.DATA, Type.COMMIT):
        with pytest.raises(ProtocolError, match="no upload"):
            relay.to_worker(budget, stream, Message(kind, 1))
    assert relay.to_worker(budget, stream, Message(Type.DETACH, 1))


def test_credit_needs_a_download(budget: Budget) -> None:
    download = stream_of(Operation.READ, budget)
    assert relay.download_flow(download, Message(Type.CREDIT, 1)) is download.flow
    for operation in (Operation.STAT, Operation.WRITE):
        with pytest.raises(ProtocolError, match="no download"):
            relay.download_flow(stream_of(operation, budget), Message(Type.CREDIT, 1))

"""What a handle knows of an upload without being written to."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

from storagebus.broker.bell import Bell
from storagebus.broker.messages import Operation
from storagebus.client.handles import Handle
from storagebus.client.requests import Request, Sent


def test_what_is_durable_is_heard_of_while_nothing_is_written() -> None:
    """By a lane the worker tells the bell, which only a writer listens to."""
    ours, theirs = map(Bell, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    port: Any = SimpleNamespace(post=lambda *_: None, release=lambda: None)
    connection: Any = SimpleNamespace(open=None)
    request = Request(Operation.WRITE, b"", 1.0)
    handle = Handle(port, connection, cast(Any, None), request)
    handle.take(Sent(10, 20, 5))
    assert handle.durable == 5
    handle._lane = cast(Any, SimpleNamespace(bell=ours))
    assert handle.durable == 5
    theirs.ring(100, 50)
    assert handle.durable == 50
    ours.close()
    theirs.close()
    assert handle.durable == 50

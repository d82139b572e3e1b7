"""What a handle knows of an upload without being written to, and how it is left."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from storagebus.broker.bell import Bell
from storagebus.broker.messages import Operation, Result
from storagebus.client.handles import Handle
from storagebus.client.requests import Failed, Finished, Request, Sent
from storagebus.drivers.errors import UnavailableError


def make_handle() -> tuple[Handle, list[str]]:
    """A handle, and what it posts to the owner of its connection."""
    posted: list[str] = []
    port: Any = SimpleNamespace(
        post=lambda action, *_: posted.append(action),
        release=lambda: posted.append("released"),
    )
    connection: Any = SimpleNamespace(open="open", abandon="abandon")
    request = Request(Operation.WRITE, b"", 1.0)
    return Handle(port, connection, cast(Any, None), request), posted


@pytest.mark.parametrize("ends_first", [True, False])
def test_who_sees_it_off_hears_of_the_end(*, ends_first: bool) -> None:
    handle, posted = make_handle()
    result = Result(lane="calls")
    heard: list[Result] = []
    if ends_first:
        handle.take(Finished(result, b""))
    handle.see_off(heard.append)
    if not ends_first:
        assert heard == []
        handle.take(Finished(result, b""))
    handle.see_off(heard.append)
    handle.release()
    assert heard == [result]
    assert posted == ["open", "released"], "it is not given up"


def test_of_a_failure_nobody_hears_who_has_gone() -> None:
    handle, posted = make_handle()
    handle.see_off(lambda result: pytest.fail(str(result)))
    handle.take(Failed(UnavailableError("the worker is lost")))
    assert posted == ["open", "released"]


def test_what_is_durable_is_heard_of_while_nothing_is_written() -> None:
    """By a lane the worker tells the bell, which only a writer listens to."""
    ours, theirs = map(Bell, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    handle, _ = make_handle()
    handle.take(Sent(10, 20, 5))
    assert handle.durable == 5
    handle._lane = cast(Any, SimpleNamespace(bell=ours))
    assert handle.durable == 5
    theirs.ring(100, 50)
    assert handle.durable == 50
    ours.close()
    theirs.close()
    assert handle.durable == 50

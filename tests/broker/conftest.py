"""Fixtures of the tests with real sockets."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from bus import TestPeer


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="sb") as path:
        yield Path(path)


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """A ZeroMQ context for the peers of a test."""
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made.set(zmq.MAX_SOCKETS, 8_192)
    yield made
    made.destroy(linger=0)


@pytest.fixture
def join(context: zmq.Context[zmq.Socket[bytes]]) -> Iterator[Callable[..., TestPeer]]:
    """Makes peers that have greeted; they are closed with the test."""
    peers: list[TestPeer] = []

    def make(endpoint: str, role: str, **hello: Any) -> TestPeer:
        peer = TestPeer(context, endpoint, role, **hello)
        peers.append(peer)
        peer.greet()
        return peer

    yield make
    for peer in peers:
        peer.close()

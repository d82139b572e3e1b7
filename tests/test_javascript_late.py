"""The driver in JavaScript after it stood still: what it was sent may be old."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest
from javascript_driver import Workers, install
from raw_broker import RawBroker

from storagebus.broker.messages import Operation, error_of
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import Executed, UnavailableError

SILENT_S = 3.2
"""Longer than a word is good for, and shorter than a connection lives without one."""


@pytest.fixture
def broker() -> Iterator[RawBroker]:
    with tempfile.TemporaryDirectory(prefix="sb") as folder:
        made = RawBroker(folder)
        yield made
        made.close()


@pytest.fixture
def worker(broker: RawBroker) -> Iterator[subprocess.Popen[str]]:
    made = Workers(install() / "registry-storage-jsmemory")
    yield made.start(ENDPOINT=broker.endpoint)
    made.close()


def test_what_waited_for_a_stopped_worker_changes_nothing(
    broker: RawBroker, worker: subprocess.Popen[str]
) -> None:
    """Until the broker has answered a PING that was sent after it."""
    broker.welcome()
    broker.call(Operation.PUT, "/a", payload=b"old")
    worker.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    changes = {
        broker.open(Operation.PUT, "/a", payload=b"new"),
        broker.open(Operation.MOVE, "/a", destination="/b"),
        broker.open(Operation.DELETE, "/a"),
    }
    look = broker.open(Operation.STAT, "/a")
    time.sleep(SILENT_S)
    worker.send_signal(signal.SIGCONT)
    found: dict[int, Message] = {}
    proofs = []
    while not {*changes, look} <= {*found}:
        message = broker.expect(Type.PING, Type.ERROR, Type.RESULT)
        if message.type is Type.PING:
            proofs.append(message.offset)
        else:
            found[message.stream] = message
    for change in changes:
        error = error_of(found[change])
        assert isinstance(error, UnavailableError)
        assert (error.executed, error.temporary) == (Executed.NO, True)
    assert found[look].type is Type.RESULT
    assert broker.call(Operation.STAT, "/a").size == len(b"old")
    broker.send(Type.PONG, offset=max(proofs))
    broker.call(Operation.PUT, "/a", payload=b"newer")
    assert broker.call(Operation.STAT, "/a").size == len(b"newer")

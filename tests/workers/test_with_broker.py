"""A real broker between a client by hand and a real worker process."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import zmq

from storagebus.broker.loop import Broker
from storagebus.broker.messages import (
    Hello,
    Open,
    Operation,
    Result,
    error_of,
    pack,
    parse,
)
from storagebus.broker.settings import BrokerSettings
from storagebus.broker.wire import Flag, Message, Type, decode, encode
from storagebus.drivers.errors import Executed, PathNotFoundError, WorkerLostError

ACME = Path(__file__).parent / "acme.py"
PATIENCE_MS = 10_000


class RawClient:
    """A client of some fifty lines: one stream at a time."""

    def __init__(self, endpoint):
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(endpoint)
        self.stream = self.epoch = 0
        hello = Hello(role="client", protocol=(1, 1), boot=os.urandom(16))
        self.send(Type.HELLO, fields=pack(hello))
        self.epoch = self.expect(Type.WELCOME).epoch

    def send(self, kind, stream=0, **header):
        message = Message(kind, stream, epoch=self.epoch, **header)
        self._socket.send_multipart(encode(message))

    def expect(self, *kinds):
        while True:
            assert self._socket.poll(PATIENCE_MS), f"nothing came, {kinds} were due"
            message = decode(self._socket.recv_multipart(), from_broker=True)
            if message.type is Type.PING:
                self.send(Type.PONG, offset=message.offset)
                continue
            if message.type is Type.ERROR and Type.ERROR not in kinds:
                raise error_of(message)
            assert message.type in kinds, message
            return message

    def open(self, operation, path, limit=0, **arguments):
        self.stream += 1
        fields = pack(Open("default", path, **arguments))
        self.send(
            Type.OPEN, self.stream, code=int(operation), limit=limit, fields=fields
        )
        return self.stream

    def stat(self, path):
        self.open(Operation.STAT, path)
        return parse(Result, self.expect(Type.RESULT).fields)

    def write(self, path, content):
        stream = self.open(Operation.WRITE, path)
        limit, sent = self.expect(Type.ACCEPT).limit, 0
        while sent < len(content):
            piece = content[sent : min(sent + 100_000, limit)]
            if not piece:
                limit = max(limit, self.expect(Type.CREDIT).limit)
                continue
            want = int(Flag.WANT) if sent + len(piece) == limit else 0
            self.send(Type.DATA, stream, offset=sent, payload=piece, flags=want)
            sent += len(piece)
        self.send(Type.COMMIT, stream, offset=sent)
        while self.expect(Type.RESULT, Type.CREDIT).type is Type.CREDIT:
            pass

    def read(self, path, window=300_000):
        """Yield after every message, so that a test can interfere."""
        stream = self.open(Operation.READ, path, limit=window)
        data = bytearray()
        while True:
            message = self.expect(Type.ACCEPT, Type.DATA, Type.RESULT)
            data += message.payload
            if message.type is Type.RESULT:
                yield bytes(data)
                return
            yield None
            self.send(Type.CREDIT, stream, offset=len(data), limit=len(data) + window)

    def close(self):
        self._socket.close(0)
        self._context.term()


@pytest.fixture
def broker(tmp_path):
    broker = Broker(
        BrokerSettings(
            clients=(f"ipc://{tmp_path}/clients",),
            workers=(f"ipc://{tmp_path}/workers", f"ipc://{tmp_path}/more"),
            services=("default",),
        )
    )
    thread = threading.Thread(target=broker.run)
    thread.start()
    yield broker
    broker.stop()
    thread.join()


@pytest.fixture(params=[1, 2], ids=["one address", "two addresses"])
def worker(broker, request):
    process = subprocess.Popen(
        [sys.executable, str(ACME), json.dumps({"word": "hello"})],
        env={
            **os.environ,
            "STORAGEBUS_WORKER_ENDPOINT": ",".join(broker.workers[: request.param]),
            "STORAGEBUS_WORKER_SERVICE": "default",
        },
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def client(broker, worker):
    made = RawClient(broker.clients[0])
    yield made
    made.close()


CONTENT = random.Random(11).randbytes(5_000_003)


def last(reading):
    *_, data = reading
    return data


def test_bytes_go_up_and_come_back(client):
    assert client.stat("/word").size == 5  # waited in the broker for the worker
    client.write("/big", CONTENT)
    assert last(client.read("/big")) == CONTENT
    assert last(client.read("/big", 20_000)) == CONTENT
    with pytest.raises(PathNotFoundError):
        last(client.read("/missing"))
    found = client.stat("/word")
    assert found.queued_us < 1_000_000


def test_a_worker_that_joined_twice_stays(client, broker):
    for _ in range(13):
        client.stat("/sleep/0.1")  # longer than a heartbeat in all
    # Acme cannot share its state, so that only one of its sessions may stay.
    assert len(broker.core.roster.workers()) == 1
    assert broker.core.counters["workers_lost"] == 0


def test_a_read_is_finished_although_the_worker_is_told_to_end(client, worker):
    client.write("/big", CONTENT)
    reading = client.read("/big")
    next(reading)
    worker.send_signal(signal.SIGTERM)
    assert last(reading) == CONTENT
    assert worker.wait(10) == 0


def test_a_killed_workers_streams_end_with_an_error(client, worker):
    client.write("/big", CONTENT)
    reading = client.read("/big", 70_000)
    next(reading)
    worker.kill()
    with pytest.raises(WorkerLostError) as caught:
        last(reading)
    assert caught.value.executed is Executed.MAYBE


def test_a_lost_clients_upload_is_closed(client, worker, broker):
    client.open(Operation.WRITE, "/never")
    client.expect(Type.ACCEPT)
    other = RawClient(broker.clients[0])
    client._socket.close(0)
    assert other.stat("/word").size == 5
    other.close()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0  # nothing holds up its drain

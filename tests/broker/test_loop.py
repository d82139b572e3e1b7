"""broker/loop.py: a real broker, good peers, and some that are not."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psutil
import pytest
import zmq
from bus import PATIENCE_S, TestPeer, running, settings_at, until

from storagebus.broker import dealer
from storagebus.broker.dealer import HEARTBEAT_TIMEOUT_MS, Link
from storagebus.broker.filelimit import raise_file_limit
from storagebus.broker.loop import Broker, run
from storagebus.broker.messages import Farewell, Operation, Reason, parse
from storagebus.broker.session import PeerSession, State
from storagebus.broker.wire import CHUNK_BYTES_MAX, Message, Type, decode, encode
from storagebus.drivers.errors import ProtocolError, UnavailableError, WorkerLostError

Join = Callable[..., TestPeer]
Context = zmq.Context[zmq.Socket[bytes]]


@pytest.fixture
def broker(folder: Path) -> Iterator[Broker]:
    given = settings_at(folder)
    tcp = ("tcp://127.0.0.1:0",)
    with running(
        settings_at(folder, clients=given.clients + tcp, workers=given.workers)
    ) as made:
        yield made


def works(client: TestPeer, worker: TestPeer, stream: int) -> None:
    """A call goes there and back."""
    client.open(stream)
    opened = worker.expect(Type.OPEN)
    worker.say(Type.RESULT, opened.stream)
    assert client.expect(Type.RESULT).stream == stream


def test_a_call_and_bytes_in_both_directions(broker: Broker, join: Join) -> None:
    worker = join(broker.workers[0], "worker")
    for endpoint in broker.clients:
        client = join(endpoint, "client")
        works(client, worker, 1)
        content = Random(1).randbytes(300_000)
        client.open(2, Operation.READ, limit=1 << 20)
        stream = worker.expect(Type.OPEN).stream
        worker.say(Type.ACCEPT, stream)
        worker.say(Type.DATA, stream, payload=content[:200_000])
        worker.say(Type.RESULT, stream, offset=200_000, payload=content[200_000:])
        client.expect(Type.ACCEPT)
        first, last = client.expect(Type.DATA), client.expect(Type.RESULT)
        assert bytes(first.payload) + bytes(last.payload) == content
        client.open(3, Operation.WRITE)
        stream = worker.expect(Type.OPEN).stream
        worker.say(Type.ACCEPT, stream, limit=1 << 20)
        assert client.expect(Type.ACCEPT).limit == 1 << 20
        client.say(Type.DATA, 3, payload=content)
        client.say(Type.COMMIT, 3, offset=len(content))
        assert bytes(worker.expect(Type.DATA).payload) == content
        assert worker.expect(Type.COMMIT).offset == len(content)
        worker.say(Type.RESULT, stream)
        client.expect(Type.RESULT)


def noise(context: Context, endpoint: str, chance: Random) -> None:
    """Everything that is no message of ours, on sockets of its own."""
    raw = context.socket(zmq.DEALER)
    raw.setsockopt(zmq.LINGER, 500)
    raw.connect(endpoint)
    raw.send_multipart([b"frame"] * 1000)
    for _ in range(300):
        count = chance.randint(1, 3)
        raw.send_multipart(
            [chance.randbytes(chance.randint(0, 99)) for _ in range(count)]
        )
        good = [bytes(part) for part in encode(Message(Type.HELLO, fields=b"\x80"))]
        good[0] = good[0][: chance.randint(0, 60)] + chance.randbytes(4)
        raw.send_multipart(good)
    raw.close()
    # Above MAXMSGSIZE: ZeroMQ cuts the connection.
    raw = context.socket(zmq.DEALER)
    raw.setsockopt(zmq.LINGER, 500)
    raw.connect(endpoint)
    raw.send_multipart([b"x" * (CHUNK_BYTES_MAX + 1)])
    raw.close()
    # Sockets that are no DEALER.
    for kind in (zmq.REQ, zmq.PUSH, zmq.SUB):
        raw = context.socket(kind)
        raw.setsockopt(zmq.LINGER, 0)
        raw.connect(endpoint)
        raw.close()


def test_noise_disturbs_nobody(broker: Broker, join: Join, context: Context) -> None:
    chance = Random(11)
    worker = join(broker.workers[0], "worker")
    client = join(broker.clients[0], "client")
    errors = broker.core.counters["protocol_errors"]
    for stream, endpoint in enumerate((*broker.clients, *broker.workers), 1):
        noise(context, endpoint, chance)
        works(client, worker, stream)
    until(
        lambda: broker.core.counters["protocol_errors"] >= errors + 3 * 601,
        "all the noise was heard",
    )
    works(client, worker, 99)


def test_a_door_is_no_web_server(broker: Broker, join: Join) -> None:
    worker = join(broker.workers[0], "worker")
    client = join(broker.clients[0], "client")
    port = int(broker.clients[1].rpartition(":")[2])
    for request in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\xff" * 10_000, b""):
        with socket.create_connection(("127.0.0.1", port)) as web:
            web.sendall(request)
        works(client, worker, client_stream())
    assert worker.expect  # both sessions are still the first ones
    assert broker.core.counters["clients_lost"] == 0


_STREAMS = iter(range(1, 1_000_000))


def client_stream() -> int:
    return next(_STREAMS)


def test_an_offender_loses_its_session_only(broker: Broker, join: Join) -> None:
    worker = join(broker.workers[0], "worker")
    good, bad = join(broker.clients[0], "client"), join(broker.clients[0], "client")
    bad.open(1)
    opened = worker.expect(Type.OPEN)
    bad.say(Type.RESULT, 1)
    goaway = bad.expect(Type.GOAWAY)
    assert goaway.code == Reason.PROTOCOL
    assert "a client does not send RESULT" in parse(Farewell, goaway.fields).detail
    assert worker.expect(Type.DETACH).stream == opened.stream
    worker.say(Type.RESULT, opened.stream)
    works(good, worker, 1)
    bad.say(Type.PING)
    assert bad.expect(Type.GOAWAY).code == Reason.UNKNOWN_PEER
    bad.greet()
    works(bad, worker, 1)


@pytest.mark.parametrize("other", [0, 20])
def test_a_closed_worker_is_found_at_once(
    broker: Broker, join: Join, other: int
) -> None:
    for _ in range(other):
        join(broker.workers[0], "worker", service="other", boot=os.urandom(16))
    client = join(broker.clients[0], "client")
    taken = []
    for stream in range(1, 6):
        worker = join(broker.workers[0], "worker", boot=os.urandom(16))
        client.open(stream)
        worker.expect(Type.OPEN)
        started = time.monotonic()
        worker.close()
        error = client.expect(Type.ERROR)
        taken.append(time.monotonic() - started)
        assert error.code == WorkerLostError.code
        assert error.map()["executed"] == "maybe"
    # One of five, so that a busy machine does not fail the test.
    assert min(taken) < 0.1
    assert max(taken) < 1.5


def test_a_closed_client_is_found_soon(broker: Broker, join: Join) -> None:
    worker = join(broker.workers[0], "worker")
    taken = []
    for _ in range(3):
        client = join(broker.clients[0], "client")
        client.open(1)
        opened = worker.expect(Type.OPEN)
        started = time.monotonic()
        client.close()
        assert worker.expect(Type.DETACH).stream == opened.stream
        taken.append(time.monotonic() - started)
        worker.say(Type.RESULT, opened.stream)
    assert min(taken) < 0.2


PEER = """
import sys, time
import zmq
sys.path[:0] = sys.argv[3:]
from bus import TestPeer
from storagebus.broker.wire import Type
peer = TestPeer(zmq.Context(), sys.argv[1], sys.argv[2])
peer.greet()
print("ready", flush=True)
while True:
    try:
        peer.next(3600)
    except BaseException:
        raise
"""


@pytest.fixture
def process() -> Iterator[Callable[[str, str], subprocess.Popen[bytes]]]:
    """Starts a peer in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(endpoint: str, role: str) -> subprocess.Popen[bytes]:
        support = str(Path(__file__).parents[1] / "support")
        child = subprocess.Popen(
            [sys.executable, "-c", PEER, endpoint, role, support],
            stdout=subprocess.PIPE,
        )
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


Start = Callable[[str, str], "subprocess.Popen[bytes]"]


def test_a_killed_worker_is_found_at_once(
    broker: Broker, join: Join, process: Start
) -> None:
    client = join(broker.clients[0], "client")
    child = process(broker.workers[0], "worker")
    client.open(1)
    client.open(2, Operation.READ)
    until(lambda: broker.core.switch.budget.flows == 1, "the worker has both")
    started = time.monotonic()
    child.send_signal(signal.SIGKILL)
    for _ in range(2):
        assert client.expect(Type.ERROR).code == WorkerLostError.code
    assert time.monotonic() - started < HEARTBEAT_TIMEOUT_MS / 1000


@pytest.mark.slow
def test_a_stopped_worker_is_found_within_seconds(
    broker: Broker, join: Join, process: Start
) -> None:
    """SIGSTOP leaves the connection standing: ZMTP's heartbeat tells."""
    child = process(broker.workers[0], "worker")
    client = join(broker.clients[0], "client")
    client.open(1)
    started = time.monotonic()
    child.send_signal(signal.SIGSTOP)
    until(
        lambda: all(worker.suspect for worker in broker.core.roster.workers()),
        "it gets no new work",
    )
    assert client.expect(Type.ERROR, 15).code == WorkerLostError.code
    assert 3 < time.monotonic() - started < 15


def test_peers_greet_again_when_the_broker_is_back(
    folder: Path, context: Context
) -> None:
    """The machine of `session.py` on a real socket, through two lives of a broker."""
    settings = settings_at(folder)
    peer = TestPeer(context, settings.clients[0], "client")
    session = PeerSession(peer.hello)
    epochs = []

    def turn() -> None:
        now = time.monotonic()
        for link in peer.dealer.links():
            if link is Link.UP:
                send(session.connected(now))
            else:
                session.disconnected(now)
        for message in peer.dealer.receive(10):
            assert isinstance(message, Message)
            send(session.received(message, now)[0])
        send(session.tick(now)[0])

    def send(messages: list[Message]) -> None:
        for message in messages:
            peer.dealer.send(message)

    def is_in(state: State) -> Callable[[], bool]:
        return lambda: bool(turn() or session.state is state)

    for _ in range(2):
        with running(settings):
            until(is_in(State.OPEN), "a session")
            epochs.append(session.epoch)
        until(is_in(State.DOWN), "the end of the broker is noticed")
    peer.close()
    assert len(set(epochs)) == 2


def test_farewell(broker: Broker, join: Join) -> None:
    """Peers are told when the broker stops in good order."""
    peers = [join(broker.clients[0], "client"), join(broker.workers[0], "worker")]
    broker.stop()
    for peer in peers:
        goaway = peer.expect(Type.GOAWAY)
        assert goaway.code == Reason.SHUTDOWN
        assert goaway.epoch == peer.epoch


@pytest.mark.slow
def test_a_thousand_clients(broker: Broker, join: Join) -> None:
    raise_file_limit()
    worker = join(broker.workers[0], "worker", slots=2000)
    clients = [join(broker.clients[0], "client") for _ in range(1000)]
    for client in clients:
        client.open(1)
    for _ in clients:
        worker.say(Type.RESULT, worker.expect(Type.OPEN).stream)
    for client in clients:
        client.expect(Type.RESULT)
    assert len(broker.core.sessions) == 1001
    for client in clients:
        client.close()
    until(lambda: len(broker.core.sessions) == 1, "all ends were noticed")


def test_run_in_the_main_thread_until_a_signal(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    caplog.set_level(logging.INFO, "storagebus.broker")
    for number in (signal.SIGTERM, signal.SIGINT):
        timer = threading.Timer(0.1, os.kill, (os.getpid(), number))
        assert run(settings_at(folder), lambda _, t=timer: t.start()) == 0
        timer.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert "listening at" in caplog.text
    assert "stopped" in caplog.text


def test_run_leaves_nothing_behind(folder: Path) -> None:
    def fail(_: Broker) -> None:
        raise LookupError("as a bug in the caller")

    process = psutil.Process()
    before = process.num_fds(), process.num_threads()
    for _ in range(3):
        with pytest.raises(LookupError):
            run(settings_at(folder), fail)
        Broker(settings_at(folder)).close()
    until(
        lambda: (process.num_fds(), process.num_threads()) == before,
        "descriptors and threads are given back",
    )


def test_a_second_broker_is_refused_and_disturbs_nothing(
    broker: Broker, folder: Path, join: Join
) -> None:
    with pytest.raises(UnavailableError, match="another broker listens"):
        Broker(settings_at(folder))
    works(join(broker.clients[0], "client"), join(broker.workers[0], "worker"), 1)


def test_stop_from_any_thread_even_twice(folder: Path) -> None:
    broker = Broker(settings_at(folder))
    thread = threading.Thread(target=broker.run)
    thread.start()
    broker.stop()
    broker.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    broker.stop()
    broker.close()


def test_frames_of_a_raw_peer_are_what_the_specification_says(
    broker: Broker, context: Context
) -> None:
    """A stranger's twenty lines: HELLO by hand, WELCOME by hand."""
    raw = context.socket(zmq.DEALER)
    raw.setsockopt(zmq.LINGER, 0)
    raw.setsockopt(zmq.RCVTIMEO, 5000)
    raw.connect(broker.clients[0])
    packed = bytes.fromhex("83") + b"\xa4role\xa6client"
    packed += b"\xa8protocol\x92\x01\x01" + b"\xa4boot\xc4\x10" + bytes(16)
    head = b"SB\x01\x01" + bytes(4) + len(packed).to_bytes(4, "big") + bytes(44)
    raw.send(head + packed)
    frames = raw.recv_multipart()
    assert frames[0][:4] == b"SB\x01\x02"
    welcome = decode(frames, from_broker=True)
    assert not isinstance(welcome, ProtocolError)
    assert welcome.epoch == int.from_bytes(frames[0][48:56], "big") > 0
    raw.close(0)


STALLED = """
import sys, zmq
sys.path[:0] = sys.argv[1:2]
from pathlib import Path
from bus import settings_at
from storagebus.broker.loop import run
run(settings_at(Path(sys.argv[2])), lambda broker: print("ready", flush=True))
"""


@pytest.mark.slow
def test_clients_that_do_not_read_take_no_more_memory_than_they_may(
    folder: Path, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small objects, answered with one RESULT each, to clients that never read it."""
    support = str(Path(__file__).parents[1] / "support")
    child = subprocess.Popen(
        [sys.executable, "-c", STALLED, support, str(folder)], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        # Their own sockets take next to nothing off the broker's hands.
        little = dealer._DEALER_OPTIONS | {zmq.RCVHWM: 1, zmq.HEARTBEAT_IVL: 0}
        with monkeypatch.context() as patch:
            patch.setattr(dealer, "_DEALER_OPTIONS", little)
            clients = [join(f"ipc://{folder}/clients", "client") for _ in range(50)]
        worker = join(f"ipc://{folder}/workers", "worker", slots=10, streams=10_000)
        process = psutil.Process(child.pid)
        before = process.memory_info().rss
        served = serve_small_objects(worker, clients, rounds=10)
        held = process.memory_info().rss - before
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    # The pool and each client's floor, and what Python and libzmq add.
    given = settings_at(folder)
    bound = (given.pool_bytes + 50 * given.floor_bytes) * 3 // 2
    assert served > given.pool_bytes
    assert held < bound, f"{held >> 20} MiB held of {served >> 20} MiB served"


def serve_small_objects(worker: TestPeer, clients: list[TestPeer], rounds: int) -> int:
    """Each client opens reads of 64 KiB, four a round; returns the bytes served."""
    content = os.urandom(65_536)
    served = 0
    for first in range(1, 4 * rounds, 4):
        for client in clients:
            for stream in range(first, first + 4):
                client.open(stream, Operation.READ, limit=1 << 20)
        for opened in worker.rest(0.2):
            if opened.limit >= len(content):
                worker.say(Type.RESULT, opened.stream, payload=content)
                served += len(content)
    return served

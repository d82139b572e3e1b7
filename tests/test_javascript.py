"""PROTOCOL.md is enough: a driver in JavaScript, written from it, as users run it.

tests/examples/javascript is that driver. It passes the conformance suite on a bus and
as a managed child, and holds the promises of sections 5, 6 and 10 when it is killed,
drained, refused or orphaned.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import zmq
from bus import TestPeer
from javascript_driver import EXIT_S_MAX, Workers, command, install, need_node
from real_bus import RealBroker
from running_bus import running_bus

from storagebus.broker.messages import Open, Operation, pack
from storagebus.broker.wire import Flag, Message, Type
from storagebus.client import Client
from storagebus.drivers import create
from storagebus.drivers.errors import (
    DataLossError,
    InvalidPathError,
    PathNotFoundError,
    PreconditionError,
    StorageError,
    StorageFullError,
)

MEBIBYTE = 1 << 20
STORAGEBUS = [sys.executable, "-m", "storagebus.conf"]

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture(scope="session")
def directory() -> Path:
    """Where the executable is."""
    return install()


@pytest.fixture
def installed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The executable, which is on PATH."""
    monkeypatch.setenv("PATH", str(directory), prepend=os.pathsep)
    return directory / "registry-storage-jsmemory"


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder with a short path, as Unix sockets need."""
    made = tempfile.mkdtemp(prefix="sb")
    yield made
    shutil.rmtree(made)


@pytest.fixture
def broker(folder: str) -> Iterator[RealBroker]:
    made = RealBroker(folder)
    yield made
    made.stop()


@pytest.fixture
def workers(installed: Path) -> Iterator[Workers]:
    made = Workers(installed)
    yield made
    made.close()


def content(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def ended(worker: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and the last line of its log."""
    _, err = worker.communicate(timeout=EXIT_S_MAX)
    return worker.returncode, (err.splitlines() or [""])[-1]


def test_a_machine_without_node_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="apt-get install nodejs npm"):
        need_node()
    (tmp_path / "npm").touch(0o755)
    (tmp_path / "node").write_text("#!/bin/sh\necho v18.19.0\n")
    (tmp_path / "node").chmod(0o755)
    with pytest.raises(pytest.fail.Exception, match=r"node is v18.19.0; install"):
        need_node()


# ---- the suite


def conform(*options: str) -> None:
    ran = command(*STORAGEBUS, "conform", *options, seconds=60)
    lines = ran.stdout.splitlines()
    failed = [line for line in lines if line.startswith("failed")]
    assert ran.returncode == 0, [*failed, ran.stderr]
    passed, _, rest = lines[-1].partition(" passed, ")
    assert (int(passed) >= 200, rest) == (True, "0 failed")


def test_conforms_on_a_bus() -> None:
    """Its parameter is not public, so that it travels by the descriptor."""
    with running_bus("jsmemory", {"maxbytes": 1 << 28}, workers=1) as endpoint:
        conform("--endpoint", endpoint, "--service", "default")


def test_conforms_as_a_managed_child() -> None:
    conform("--driver", "jsmemory", "--child")


# ---- parameters


def test_a_secret_reaches_the_driver() -> None:
    with create("jsmemory", {"maxbytes": 1000}) as driver:
        driver.put_content("/a", content(1000))
        with pytest.raises(StorageFullError, match="1000 bytes"):
            driver.put_content("/b", b"1")
        assert driver.get_content("/a") == content(1000)


@pytest.mark.parametrize(
    ("argument", "env", "code", "word"),
    [
        ("{}", {"SERVICE": ""}, 64, "storagebus up --driver"),
        ("{}", {"SLOTS": "many"}, 64, "SLOTS is no number: many"),
        ("[]", {}, 65, "no JSON map"),
        ("{", {}, 65, "not JSON"),
        ('{"maxbytes": {"$secret": "m"}}', {}, 65, "secret m did not come"),
        ('{"maxbytes": -1}', {}, 78, "maxbytes"),
        ('{"minbytes": 1}', {}, 78, "minbytes"),
    ],
)
def test_it_says_what_it_cannot_start_with(
    workers: Workers,
    broker: RealBroker,
    argument: str,
    env: Mapping[str, str],
    code: int,
    word: str,
) -> None:
    worker = workers.start(broker, argument=argument, **env)
    exit_code, line = ended(worker)
    assert (exit_code, word in line) == (code, True), line


# ---- life and death


def test_killed_in_the_middle_of_streams(workers: Workers, broker: RealBroker) -> None:
    """What the process held is lost with it, and both streams say so, typed.

    The next worker serves on.
    """
    worker = workers.serving(broker)
    data = content(24 * MEBIBYTE)
    with Client(broker.endpoint, deadline=3.0) as client:
        with client.writer("/kept") as upload:
            upload.write(data)
            upload.commit()
        reader = client.reader("/kept")
        assert reader.read(MEBIBYTE) == data[:MEBIBYTE]
        writer = client.writer("/new")
        writer.write(data[:MEBIBYTE])
        worker.kill()
        worker.wait()
        broker.wait_for_workers(0)
        workers.serving(broker)
        with pytest.raises(DataLossError) as read:
            reader.read()
        assert MEBIBYTE <= read.value.offset < len(data)
        with pytest.raises(StorageError) as wrote:
            writer.write(data)
            writer.commit()
        assert wrote.value.durable in (None, 0)
        reader.close()
        client.put_content("/after", b"2")
        assert client.get_content("/after") == b"2"
        assert client.list("/") == ["/after"]


def test_a_drain_finishes_what_runs(workers: Workers, broker: RealBroker) -> None:
    worker = workers.serving(broker)
    data = content(24 * MEBIBYTE)
    with Client(broker.endpoint) as client:
        writer = client.writer("/a")
        writer.write(data)
        writer.commit()
        writer.close()
        reader = client.reader("/a")
        assert reader.read(MEBIBYTE) == data[:MEBIBYTE]
        upload = client.writer("/b")
        upload.write(data[:MEBIBYTE])
        worker.send_signal(signal.SIGTERM)
        broker.wait_for_workers(0)
        upload.write(data[MEBIBYTE : 2 * MEBIBYTE])
        upload.commit()
        upload.close()
        assert worker.poll() is None
        assert reader.read() == data[MEBIBYTE:]
        reader.close()
    assert ended(worker)[0] == 0


def test_a_drain_by_the_broker(workers: Workers, folder: str) -> None:
    """It drains at all its brokers, whichever told it to."""
    brokers = [RealBroker(folder, name) for name in ("one", "two")]
    try:
        worker = workers.serving(*brokers)
        with (
            Client(brokers[0].endpoint) as one,
            Client(brokers[1].endpoint, deadline=1.0) as two,
        ):
            one.put_content("/a", b"1")
            assert two.get_content("/a") == b"1"
            (seen,) = one.bus_status()["services"]["default"]["workers"]
            at = ["--endpoint", brokers[0].endpoint]
            assert command(*STORAGEBUS, "drain", seen["id"], *at).returncode == 0
            assert ended(worker)[0] == 0
            with pytest.raises(StorageError) as late:
                two.get_content("/a")
            assert late.value.executed.value == "no"
    finally:
        for broker in brokers:
            broker.stop()


def test_a_drain_ends_with_its_grace(workers: Workers, broker: RealBroker) -> None:
    worker = workers.serving(broker, GRACE_S="0.2")
    with Client(broker.endpoint, deadline=1.0) as client:
        upload = client.writer("/a")
        upload.write(content(1000))
        worker.send_signal(signal.SIGTERM)
        assert ended(worker)[0] == 0
        with pytest.raises(StorageError):
            upload.write(content(1000))
            upload.commit()


def test_a_second_signal_ends_it(workers: Workers, broker: RealBroker) -> None:
    worker = workers.serving(broker)
    with Client(broker.endpoint, deadline=1.0) as client:
        upload = client.writer("/a")
        upload.write(b"1")
        worker.send_signal(signal.SIGTERM)
        broker.wait_for_workers(0)
        worker.send_signal(signal.SIGTERM)
        assert ended(worker)[0] == 0
        with pytest.raises(StorageError):
            upload.commit()


def test_a_broker_that_comes_back(workers: Workers, folder: str) -> None:
    """It greets the new one, with its objects, and its upload was kept."""
    broker = RealBroker(folder)
    workers.serving(broker)
    with Client(broker.endpoint) as client:
        client.put_content("/a", b"1")
        upload = client.writer("/b")
        upload.write(b"23")
        upload.close()
        broker.stop()
        broker = RealBroker(folder)
        try:
            broker.wait_for_workers(1)
            assert client.get_content("/a") == b"1"
            with client.writer("/b", append=True) as upload:
                upload.write(b"4")
                upload.commit()
            assert client.get_content("/b") == b"234"
        finally:
            broker.stop()


def test_a_wrong_cookie(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent says why, and no process is left."""
    forger = tmp_path / "registry-storage-forger"
    forger.write_text(
        "#!/bin/sh\n"
        f"echo $$ > {tmp_path}/pid\n"
        f'export STORAGEBUS_WORKER_COOKIE=wrong\nexec {installed} "$@"\n'
    )
    forger.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(StorageError, match="cookie"):
        create("forger", {})
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_worker_that_is_refused(workers: Workers, broker: RealBroker) -> None:
    """Its state cannot be shared, so that there can be but one."""
    workers.serving(broker)
    code, line = ended(workers.start(broker))
    assert code == 69
    assert line.startswith("jsmemory: refused: ")
    assert "cannot share" in line


def test_an_orphan_ends(workers: Workers, broker: RealBroker) -> None:
    """The end of the descriptor ends it, in the middle of its work."""
    reading, writing = os.pipe()
    os.write(writing, json.dumps({"secrets": {"m": 100}}).encode() + b"\n")
    argument = '{"maxbytes": {"$secret": "m"}}'
    worker = workers.serving(broker, argument=argument, fd=reading)
    os.close(reading)
    with Client(broker.endpoint, deadline=1.0) as client:
        upload = client.writer("/a")
        upload.write(b"1")
        os.close(writing)
        assert ended(worker) == (75, "jsmemory: the parent is gone")
        with pytest.raises(StorageError):
            upload.commit()


# ---- what no well-behaved client sends


@pytest.fixture
def peer(workers: Workers, broker: RealBroker) -> Iterator[TestPeer]:
    """A client of which every message is written by hand."""
    workers.serving(broker)
    with Client(broker.endpoint) as client:
        client.put_content("/dir/object", content(1000))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = TestPeer(context, broker.endpoint, "client")
    made.greet()
    yield made
    made.close()
    context.term()


def asked(peer: TestPeer, operation: int, limit: int = 0, **arguments: Any) -> Message:
    """The first answer to an operation, on stream 1."""
    fields = pack(Open("default", **arguments))
    peer.say(Type.OPEN, 1, code=operation, fields=fields, limit=limit)
    return peer.next()


@pytest.mark.parametrize(
    ("operation", "arguments", "error"),
    [
        (Operation.STAT, {"path": "/dir/../dir"}, InvalidPathError),
        (Operation.STAT, {"path": "dir"}, InvalidPathError),
        (Operation.READ, {"path": "/"}, InvalidPathError),
        (Operation.DELETE, {"path": "/dir/"}, InvalidPathError),
        (Operation.MOVE, {"path": "/a", "destination": "/."}, InvalidPathError),
        (Operation.READ, {"path": "/dir"}, PathNotFoundError),
        (Operation.READ, {"path": "/dir/object", "if_match": "x"}, PreconditionError),
    ],
)
def test_it_checks_what_it_is_told(
    peer: TestPeer,
    operation: Operation,
    arguments: dict[str, Any],
    error: type[StorageError],
) -> None:
    answer = asked(peer, int(operation), **arguments)
    assert answer.type is Type.ERROR
    assert answer.code == error.code
    assert answer.map()["driver"] == "jsmemory"
    assert answer.map()["executed"] == "no"


def test_a_download_keeps_to_its_limit(peer: TestPeer) -> None:
    """It uses what it was granted, however little, and asks for more with it."""
    accept = asked(peer, Operation.READ, limit=100, path="/dir/object")
    assert accept.type is Type.ACCEPT
    got = b""
    for limit in (100, 101, 700, 999):
        if limit > 100:
            peer.say(Type.CREDIT, 1, offset=len(got), limit=limit)
        data = peer.expect(Type.DATA)
        assert data.offset == len(got)
        got += data.payload
        assert len(got) == limit
        assert data.flags == Flag.WANT
    peer.say(Type.CREDIT, 1, offset=len(got), limit=1_000_000)
    last = peer.expect(Type.RESULT)
    assert (last.offset, got + bytes(last.payload)) == (999, content(1000))


def test_a_gap_in_an_upload(peer: TestPeer) -> None:
    assert asked(peer, Operation.WRITE, path="/new").type is Type.ACCEPT
    peer.say(Type.DATA, 1, payload=b"0123")
    assert peer.expect(Type.CREDIT).offset == 4
    peer.say(Type.COMMIT, 1, offset=5)
    answer = peer.expect(Type.ERROR)
    assert (answer.code, answer.map()["durable"]) == (70, 0)

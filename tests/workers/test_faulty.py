"""Workers that fail on purpose: real processes, seen by broker and client."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs import wait_until
from raw_broker import PATIENCE_S, RawBroker
from real_bus import RealBus

from storagebus.broker.messages import Operation
from storagebus.broker.wire import Type
from storagebus.client import Client
from storagebus.drivers.errors import (
    DataLossError,
    DeadlineExceededError,
    Executed,
    StorageError,
    ThrottledError,
    WorkerLostError,
)

ACME = Path(__file__).parent / "acme.py"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start acme with a plan, at a broker of the test's own."""
    broker = RawBroker(tmp_path)
    processes = []

    def start(*rules, parameters=None, **more):
        monkeypatch.setenv("STORAGEBUS_WORKER_ENDPOINT", broker.endpoint)
        monkeypatch.setenv("STORAGEBUS_WORKER_SERVICE", "default")
        plan = json.dumps({"rules": rules, **more})
        monkeypatch.setenv("STORAGEBUS_WORKER_FAULTS", plan)
        process = subprocess.Popen(
            [
                sys.executable,
                str(ACME),
                json.dumps({"word": "hello"} | (parameters or {})),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        broker.welcome()
        return broker, process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    broker.close()


ENDINGS = [("exit", 70), ("segv", -signal.SIGSEGV), ("abort", -signal.SIGABRT)]


@pytest.mark.parametrize(("kind", "code"), ENDINGS)
def test_a_process_ends_before_the_driver_is_called(start, tmp_path, kind, code):
    note = tmp_path / "note"
    rule = {"kind": kind, "operations": ["write"], "skip": 2}
    broker, process = start(rule, parameters={"note": str(note)})
    broker.call(Operation.STAT, "/word")
    broker.open(Operation.WRITE, "/a")
    broker.expect(Type.ACCEPT)
    broker.send(Type.DATA, broker.stream, payload=b"first")
    # The opening and the first piece were let pass.
    time.sleep(0.3)
    assert process.poll() is None
    broker.send(Type.DATA, broker.stream, offset=5, payload=b"second")
    assert process.wait(PATIENCE_S) == code
    stderr = process.stderr.read()
    assert "FAULTS ON PURPOSE: this worker fails by a plan of 1 rules" in stderr
    assert f"fault on purpose: {kind}, write call" in stderr
    assert not note.exists()


def test_it_ends_while_the_driver_works(start):
    broker, process = start({"kind": "abort", "when": "running", "seconds": 0.2})
    began = time.monotonic()
    broker.open(Operation.STAT, "/sleep/30")
    assert process.wait(PATIENCE_S) == -signal.SIGABRT
    assert time.monotonic() - began > 0.2


def test_a_driver_that_was_quicker_is_left_alone(start):
    broker, process = start({"kind": "exit", "when": "running", "seconds": 0.5})
    broker.call(Operation.STAT, "/word")
    time.sleep(0.7)
    assert process.poll() is None


def test_it_ends_when_the_work_is_done_and_nobody_was_told(start, tmp_path):
    note = tmp_path / "note"
    rule = {"kind": "exit", "when": "answer", "operations": ["commit"]}
    broker, process = start(rule, parameters={"note": str(note)})
    broker.open(Operation.WRITE, "/a")
    broker.expect(Type.ACCEPT)
    broker.send(Type.DATA, broker.stream, payload=b"content")
    broker.send(Type.COMMIT, broker.stream, offset=7)
    assert process.wait(PATIENCE_S) == 70
    assert note.read_text().startswith("committed /a 7")
    kinds = set()
    while (message := broker.receive(0.2)) is not None:
        kinds.add(message.type)
    assert Type.RESULT not in kinds


def test_it_ends_when_the_answer_was_sent(start):
    broker, process = start({"kind": "exit", "when": "replied"})
    assert broker.call(Operation.STAT, "/word").info().size == 5
    assert process.wait(PATIENCE_S) == 70


def test_it_stands_still(start):
    broker, process = start({"kind": "stop"})
    broker.open(Operation.STAT, "/word")
    status = Path(f"/proc/{process.pid}/stat")
    assert wait_until(lambda: status.read_text().split(")")[1].split()[0] == "T", 20)
    process.send_signal(signal.SIGCONT)
    assert broker.expect(Type.RESULT).stream == 1


def test_a_delay_an_error_and_no_more(start):
    broker, _ = start(
        {"kind": "delay", "seconds": 0.4, "count": 1},
        {"kind": "error", "error": "THROTTLED", "detail": "slowly", "count": 1},
        {
            "kind": "error",
            "error": "DATA_LOSS",
            "when": "answer",
            "skip": 1,
            "count": 1,
        },
    )
    began = time.monotonic()
    broker.call(Operation.STAT, "/word")
    assert time.monotonic() - began > 0.4
    with pytest.raises(ThrottledError, match="slowly") as caught:
        broker.call(Operation.STAT, "/word")
    assert caught.value.executed is Executed.NO
    with pytest.raises(DataLossError, match="a fault on purpose") as after:
        broker.call(Operation.PUT, "/a", payload=b"x")
    assert after.value.executed is Executed.MAYBE
    assert broker.read(Operation.READ, "/a") == [b"x"]


def test_what_was_opened_for_an_answer_that_nobody_gets_is_closed(start, tmp_path):
    note = tmp_path / "note"
    rule = {"kind": "error", "when": "answer", "operations": ["write"], "count": 1}
    broker, _ = start(rule, parameters={"note": str(note)})
    with pytest.raises(StorageError, match="a fault on purpose"):
        broker.call(Operation.WRITE, "/a")
    assert note.read_text() == "closed /a 0\n"


def test_a_torn_connection_is_a_new_session(start):
    broker, process = start({"kind": "disconnect", "count": 1})
    first = broker.peer
    broker.open(Operation.STAT, "/word")
    broker.welcome()
    assert broker.peer != first
    assert broker.call(Operation.STAT, "/word").info().size == 5
    assert process.poll() is None


def test_a_hang_holds_its_call_and_no_other(tmp_path, monkeypatch):
    plan = {"rules": [{"kind": "hang", "operations": ["stat"]}]}
    monkeypatch.setenv("STORAGEBUS_WORKER_FAULTS", json.dumps(plan))
    with (
        RealBus("filesystem", {"rootdirectory": str(tmp_path)}) as bus,
        Client(bus.endpoint, deadline=1.0) as client,
    ):
        with pytest.raises(DeadlineExceededError):
            client.stat("/a")
        client.put_content("/a", b"x")
        assert client.get_content("/a") == b"x"


def test_faults_of_a_pool_are_mended_by_the_client(tmp_path, monkeypatch):
    """Torn connections and passing errors at every step, and no call fails."""
    rules = [
        {"kind": "disconnect", "when": when, "probability": 0.01}
        for when in ("call", "answer", "replied")
    ]
    rules += [
        {"kind": "error", "error": "UNAVAILABLE", "when": when, "probability": 0.02}
        for when in ("call", "answer")
    ]
    monkeypatch.setenv("STORAGEBUS_WORKER_FAULTS", json.dumps({"rules": rules}))
    data = random.Random(3).randbytes(3_000_000)
    root = {"rootdirectory": str(tmp_path)}
    with (
        RealBus("filesystem", root, workers=2) as bus,
        Client(bus.endpoint, deadline=30.0) as client,
    ):
        for number in range(30):
            path = f"/o/{number}"
            client.put_content(path, data[: 1 + number * 100_000])
            assert client.get_content(path) == data[: 1 + number * 100_000]
            assert client.stat(path).size == 1 + number * 100_000


def test_a_lost_worker_is_what_the_client_is_told(tmp_path, monkeypatch):
    rules = [{"kind": "exit", "when": "answer", "operations": ["move"]}]
    monkeypatch.setenv("STORAGEBUS_WORKER_FAULTS", json.dumps({"rules": rules}))
    with (
        RealBus("filesystem", {"rootdirectory": str(tmp_path)}) as bus,
        Client(bus.endpoint, deadline=10.0) as client,
    ):
        client.put_content("/a", b"x")
        with pytest.raises(WorkerLostError) as caught:
            client.move("/a", "/b")
    assert caught.value.executed is Executed.MAYBE
    assert (tmp_path / "b").read_bytes() == b"x"


def test_a_plan_that_makes_no_sense_ends_the_start(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ACME), "{}"],
        env={
            "STORAGEBUS_WORKER_ENDPOINT": f"ipc://{tmp_path}/x",
            "STORAGEBUS_WORKER_SERVICE": "default",
            "STORAGEBUS_WORKER_FAULTS": '{"rules": [{"kind": "delay"}]}',
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 64
    assert re.search(
        r"STORAGEBUS_WORKER_FAULTS: plan of faults: rules\[0\]\.seconds", done.stderr
    )


def test_a_worker_takes_the_plan_out_of_its_environment(start):
    broker, _ = start({"kind": "exit", "operations": ["delete"]})
    shown = broker.call(Operation.STAT, "/environment").path
    assert "STORAGEBUS_WORKER_SERVICE" in shown
    assert "STORAGEBUS_WORKER_FAULTS" not in shown

"""Real worker processes at a raw ROUTER: the protocol as a stranger's broker has it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import pytest
from programs import is_running, wait_until
from raw_broker import PATIENCE_S, RawBroker

from storagebus.broker.messages import (
    Accepted,
    Farewell,
    Load,
    Operation,
    Reason,
    Result,
    error_of,
    pack,
    parse,
)
from storagebus.broker.wire import Type
from storagebus.drivers.errors import PathNotFoundError, UnavailableError

ACME = Path(__file__).parent / "acme.py"


@pytest.fixture
def broker(tmp_path):
    made = RawBroker(tmp_path)
    yield made
    made.close()


@pytest.fixture
def brokers(tmp_path):
    made = [RawBroker(tmp_path, name) for name in ("one", "two")]
    yield made
    for broker in made:
        broker.close()


@pytest.fixture
def gate(tmp_path):
    """Where `stat` of acme hangs until the test opens it."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@pytest.fixture
def start():
    """Start acme (or a program) as a parent would; all of them end with the test."""
    processes = []

    def start(parameters, endpoint, program=None, pass_fds=(), group=True, **variables):
        environment = {
            **os.environ,
            "STORAGEBUS_WORKER_ENDPOINT": endpoint,
            "STORAGEBUS_WORKER_SERVICE": "default",
            "PYTHONWARNINGS": "error",
            **variables,
        }
        process = subprocess.Popen(
            [*(program or [sys.executable, str(ACME)]), json.dumps(parameters)],
            env={name: value for name, value in environment.items() if value},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=pass_fds,
            process_group=0 if group else None,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process):
    """Exit code and stderr of a process that is to end by itself."""
    stderr = process.communicate(timeout=PATIENCE_S)[1]
    return process.returncode, stderr


def test_everything_once(broker, start):
    rng = random.Random(7)
    content = rng.randbytes(6_000_011)
    process = start({"word": "hello"}, broker.endpoint, STORAGEBUS_WORKER_SLOTS="3")
    hello = broker.welcome()
    assert (hello.service, hello.driver, hello.pid) == ("default", "acme", process.pid)
    assert (hello.slots, hello.streams, hello.api_version) == (3, 1024, "1.0")
    assert hello.capabilities["shared"] is False
    assert broker.call(Operation.STAT, "/word").info().size == 5
    assert broker.read(Operation.READ, "/word") == [b"hello"]
    end = broker.write("/big", content)
    assert end.type is Type.RESULT
    assert parse(Result, end.fields).size == len(content)
    assert b"".join(broker.read(Operation.READ, "/big")) == content
    assert b"".join(broker.read(Operation.READ, "/big", 16_384)) == content
    part = broker.read(Operation.READ, "/big", start=1_000_003, length=2_000_001)
    assert b"".join(part) == content[1_000_003:3_000_004]
    broker.call(Operation.PUT, "/small", payload=content[:1000])
    assert broker.read(Operation.READ, "/small") == [content[:1000]]
    (page,) = broker.read(Operation.LIST, "/")
    assert msgpack.unpackb(page) == ["/big", "/small", "/word"]
    (page,) = broker.read(Operation.WALK, "/")
    assert [entry[0] for entry in msgpack.unpackb(page)] == ["/big", "/small", "/word"]
    broker.call(Operation.MOVE, "/small", destination="/moved")
    broker.call(Operation.DELETE, "/moved")
    with pytest.raises(PathNotFoundError):
        broker.read(Operation.READ, "/moved")
    assert broker.write("/never", b"x", Type.CANCEL).type is Type.ERROR
    broker.send(Type.PING, offset=99)
    assert broker.expect(Type.PONG).offset == 99


def test_a_driver_that_never_blocks_is_called_inline(broker, start):
    content = random.Random(8).randbytes(3_000_000)
    process = start({"nonblocking": True}, broker.endpoint)
    broker.welcome()
    assert broker.write("/big", content).type is Type.RESULT
    assert b"".join(broker.read(Operation.READ, "/big")) == content
    assert broker.call(Operation.STAT, "/big").info().size == len(content)
    tasks = Path(f"/proc/{process.pid}/task").glob("*/comm")
    assert "storagebus-driv" not in {task.read_text().strip() for task in tasks}
    broker.send(Type.DRAIN)
    broker.expect(Type.DRAINED)
    broker.send(Type.GOAWAY, code=Reason.SHUTDOWN)
    assert ended(process)[0] == 0


def test_calls_run_beside_each_other_and_beside_the_protocol(broker, start, gate):
    start({}, broker.endpoint)
    broker.welcome()
    for _ in range(8):
        broker.open(Operation.STAT, f"/until{gate}")
    broker.send(Type.PING, offset=1)
    load = parse(Load, broker.expect(Type.PONG).fields)
    assert load.calls == 8
    with gate.open("wb"):
        for _ in range(8):
            broker.expect(Type.RESULT)


@pytest.mark.parametrize("nonblocking", [False, True])
def test_a_quick_driver_that_hangs_all_at_once_silences_nobody(
    broker, start, gate, nonblocking
):
    """The loop runs the first of these itself, having found stat to be quick; of a
    driver that wrongly says that it never waits, it runs them all."""
    process = start({"nonblocking": nonblocking}, broker.endpoint)
    broker.welcome()
    for _ in range(50):
        broker.call(Operation.STAT, "/word")
    tasks = Path(f"/proc/{process.pid}/task").glob("*/comm")
    assert "storagebus-driv" not in {task.read_text().strip() for task in tasks}
    hanging = [broker.open(Operation.STAT, f"/until{gate}") for _ in range(4)]
    for token in range(10):
        broker.send(Type.PING, offset=100 + token)
        pong = broker.expect(Type.PONG)
        assert pong.offset == 100 + token
        assert parse(Load, pong.fields).calls == 4
        assert broker.call(Operation.PUT, "/p", payload=b"x") is not None
        assert broker.call(Operation.STAT, "/word").size == 0
    with gate.open("wb"):
        assert {broker.expect(Type.RESULT).stream for _ in hanging} == {*hanging}
    assert broker.call(Operation.STAT, "/word").size == 0


def test_a_signal_ends_a_worker_whose_loop_a_driver_has_in_hand(broker, start):
    process = start({}, broker.endpoint)
    broker.welcome()
    broker.call(Operation.STAT, "/word")
    broker.open(Operation.STAT, "/sleep/30")
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 0


def test_sigterm_drains(broker, start, tmp_path):
    note = tmp_path / "note"
    process = start({"note": str(note)}, broker.endpoint)
    broker.welcome()
    upload = broker.open(Operation.WRITE, "/a")
    broker.expect(Type.ACCEPT)
    process.send_signal(signal.SIGTERM)
    broker.expect(Type.DRAIN)
    broker.send(Type.DRAIN)
    broker.send(Type.DATA, upload, payload=b"last bytes")
    broker.send(Type.COMMIT, upload, offset=10)
    assert broker.expect(Type.RESULT).stream == upload
    broker.expect(Type.DRAINED)
    broker.send(Type.GOAWAY, code=Reason.SHUTDOWN)
    assert ended(process)[0] == 0
    assert note.read_text() == "committed /a 10\n"


def test_what_is_left_after_the_grace_is_detached(broker, start, tmp_path):
    note = tmp_path / "note"
    process = start(
        {"note": str(note)}, broker.endpoint, STORAGEBUS_WORKER_GRACE_S="0.3"
    )
    broker.welcome()
    upload = broker.open(Operation.WRITE, "/a")
    broker.expect(Type.ACCEPT)
    broker.send(Type.DATA, upload, payload=b"half")
    process.send_signal(signal.SIGTERM)
    broker.expect(Type.DRAIN)
    broker.send(Type.DRAIN)
    error = error_of(broker.expect(Type.ERROR))
    assert isinstance(error, UnavailableError)
    assert error.durable == 0
    broker.expect(Type.DRAINED)
    broker.send(Type.GOAWAY, code=Reason.SHUTDOWN)
    assert ended(process)[0] == 0
    assert note.read_text() == "closed /a 4\n"


@pytest.mark.parametrize("signals", [["SIGINT"], ["SIGTERM", "SIGTERM"]])
def test_ending_at_once(broker, start, signals):
    process = start({}, broker.endpoint)
    broker.welcome()
    broker.open(Operation.STAT, "/sleep/60")
    *first, last = (signal.Signals[name] for name in signals)
    for number in first:
        process.send_signal(number)
        broker.expect(Type.DRAIN)
    process.send_signal(last)
    assert broker.expect(Type.GOAWAY).code == Reason.SHUTDOWN
    assert ended(process)[0] == 0  # long before the call does, or the grace is over


def test_a_driver_that_ends_the_process_ends_the_process(broker, start):
    process = start({}, broker.endpoint)
    broker.welcome()
    broker.open(Operation.STAT, "/exit")
    assert ended(process)[0] == 3
    process = start({}, broker.endpoint)
    broker.welcome()
    broker.open(Operation.STAT, "/die")
    assert ended(process)[0] == 4


def test_refused_by_the_broker(broker, start):
    process = start({}, broker.endpoint)
    broker.expect(Type.HELLO)
    fields = pack(Farewell("wrong cookie"))
    broker.send(Type.GOAWAY, code=Reason.REFUSED, fields=fields)
    code, stderr = ended(process)
    assert code == 69
    assert stderr.splitlines()[-1] == "acme.py: access denied: wrong cookie"


def test_a_new_broker_is_greeted_when_it_comes(broker, start):
    start({"word": "again"}, broker.endpoint)
    broker.welcome()
    broker.restart()
    broker.welcome()
    assert broker.read(Operation.READ, "/word") == [b"again"]
    broker.send(Type.GOAWAY, code=Reason.UNKNOWN_PEER)
    broker.welcome()
    assert broker.call(Operation.STAT, "/word").info().size == 5


def test_two_brokers_share_one_worker(brokers, start):
    endpoints = ",".join(broker.endpoint for broker in brokers)
    process = start({"word": "both"}, endpoints)
    hellos = [broker.welcome() for broker in brokers]
    assert hellos[0].pid == hellos[1].pid
    assert hellos[0].boot != hellos[1].boot
    for broker in brokers:
        stream = broker.open(Operation.READ, "/word", limit=100)
        message = broker.expect(Type.RESULT)
        assert (message.stream, message.payload) == (stream, b"both")
    process.send_signal(signal.SIGTERM)
    for broker in brokers:
        broker.expect(Type.DRAIN)
        broker.send(Type.DRAIN)
        broker.expect(Type.DRAINED)
        broker.send(Type.GOAWAY, code=Reason.SHUTDOWN)
    assert ended(process)[0] == 0


# -- the spawn contract -----------------------------------------------------------


def pipe_with(line):
    """The read end that a child inherits, and the write end, its parent's life."""
    ours = os.pipe()
    os.write(ours[1], line)
    return ours


def test_secrets_come_on_the_descriptor_and_the_cookie_is_for_the_broker(broker, start):
    line = json.dumps({"secrets": {"w": "sesame"}, "new": 1}).encode() + b"\n"
    fd, life = pipe_with(line)
    process = start(
        {"word": {"$secret": "w"}},
        broker.endpoint,
        pass_fds=[fd],
        STORAGEBUS_WORKER_FD=str(fd),
        STORAGEBUS_WORKER_COOKIE="crumbs",
        STORAGEBUS_WORKER_NAME="number one",
    )
    os.close(fd)
    hello = broker.welcome()
    assert (hello.cookie, hello.name) == ("crumbs", "number one")
    assert broker.read(Operation.READ, "/word") == [b"sesame"]
    command = Path(f"/proc/{process.pid}/cmdline").read_text()
    environment = Path(f"/proc/{process.pid}/environ").read_text()
    assert "sesame" not in command + environment
    seen = broker.call(Operation.STAT, "/environment").path
    assert "STORAGEBUS_WORKER_SERVICE" in seen
    assert "STORAGEBUS_WORKER_COOKIE" not in seen
    os.close(life)


def test_without_its_parent_a_worker_ends_and_takes_its_children_along(broker, start):
    fd, life = pipe_with(b"{}\n")
    process = start(
        {"grandchild": True},
        broker.endpoint,
        pass_fds=[fd],
        STORAGEBUS_WORKER_FD=str(fd),
    )
    os.close(fd)
    broker.welcome()
    (pid,) = map(int, broker.read(Operation.READ, "/grandchild"))
    broker.open(Operation.STAT, "/sleep/60")
    os.close(life)
    broker.expect(Type.GOAWAY)
    assert ended(process)[0] == -signal.SIGKILL
    assert wait_until(lambda: not is_running(pid), PATIENCE_S)


def test_a_worker_that_leads_no_group_says_that_its_parent_is_gone(broker, start):
    fd, life = pipe_with(b"{}\n")
    process = start(
        {},
        broker.endpoint,
        pass_fds=[fd],
        group=False,
        STORAGEBUS_WORKER_FD=str(fd),
    )
    os.close(fd)
    broker.welcome()
    os.close(life)
    assert ended(process)[0] == 75


def run_by_hand(*arguments, **variables):
    return subprocess.run(
        [sys.executable, str(ACME), *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_run_by_hand_it_explains_itself():
    for arguments in ([], ["-"], ['{"word": "x"}']):
        done = run_by_hand(*arguments)
        assert done.returncode == 64
        assert "storagebus up --driver" in done.stderr
        assert "STORAGEBUS_WORKER_ENDPOINT" in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("argument", "variables", "code", "says"),
    [
        ("{", {}, 65, "JSON map"),
        ("[1]", {}, 65, "JSON map"),
        ('{"word": {"$secret": "w"}}', {}, 65, "no secret 'w'"),
        ("{}", {"STORAGEBUS_WORKER_SLOTS": "many"}, 64, "STORAGEBUS_WORKER_SLOTS"),
        ("{}", {"STORAGEBUS_WORKER_FD": "77"}, 64, "STORAGEBUS_WORKER_FD"),
        ("{}", {"STORAGEBUS_WORKER_ENDPOINT": "http://x"}, 64, "use ipc:///path"),
    ],
)
def test_a_wrong_start_says_what_is_wrong(argument, variables, code, says):
    endpoint = {"STORAGEBUS_WORKER_ENDPOINT": "ipc:///nowhere/at/all"}
    done = run_by_hand(argument, **{**endpoint, **variables})
    assert done.returncode == code
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


# -- the drivers of this package -----------------------------------------------------

FILESYSTEM = "from storagebus.workers.builtin import filesystem; filesystem()"
BY_NAME = """
import json, os, sys
from storagebus.workers.worker import run_worker
endpoint = os.environ.pop("STORAGEBUS_WORKER_ENDPOINT")
sys.exit(run_worker(endpoint, "default", "filesystem", json.loads(sys.argv[1])))
"""


def test_a_real_store_by_executable_and_by_name(brokers, start, tmp_path):
    content = random.Random(9).randbytes(3_000_007)
    parameters = {"rootdirectory": str(tmp_path / "data")}
    first, second = brokers
    process = start(parameters, first.endpoint, [sys.executable, "-c", FILESYSTEM])
    other = start(parameters, second.endpoint, [sys.executable, "-c", BY_NAME])
    hellos = [broker.welcome() for broker in brokers]
    assert hellos[0].driver == hellos[1].driver == "filesystem"
    assert hellos[0].instance == hellos[1].instance
    assert hellos[0].boot != hellos[1].boot

    kept = first.write("/a/b", content[:2_000_000], Type.DETACH)
    durable = parse(Result, kept.fields).durable
    assert 0 < durable <= 2_000_000
    # The other process goes on where this one has stopped.
    stream = second.open(Operation.WRITE, "/a/b", append=True)
    accepted = parse(Accepted, second.expect(Type.ACCEPT).fields)
    assert accepted.size == 2_000_000
    rest = content[2_000_000:]
    second.send(Type.DATA, stream, payload=rest)
    second.send(Type.COMMIT, stream, offset=len(rest))
    while (message := second.expect(Type.CREDIT, Type.RESULT)).type is Type.CREDIT:
        pass
    result = parse(Result, message.fields)
    assert result.size == result.durable == len(content)
    for broker in brokers:
        assert b"".join(broker.read(Operation.READ, "/a/b")) == content
        info = broker.call(Operation.STAT, "/a/b").info()
        assert (info.size, info.identity) == (len(content), result.identity)
    status = first.call(Operation.UPLOAD_STATUS, "/a/b", upload_id=accepted.upload_id)
    assert (status.state, status.identity) == ("committed", result.identity)
    for child in (process, other):
        child.send_signal(signal.SIGINT)
        assert ended(child)[0] == 0


@pytest.mark.parametrize("attempt", range(3))
def test_a_request_to_end_is_heard_after_a_standstill(broker, start, attempt):
    """The kernel then gives the signal to any thread, and the main one sleeps on."""
    process = start({}, broker.endpoint)
    broker.welcome()
    broker.call(Operation.STAT, "/sleep/0.1")  # there is more than one thread
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    broker.expect(Type.DRAIN)
    broker.send(Type.DRAIN)
    assert ended(process)[0] == 0

"""client/client.py and what is below it, over a real broker and real workers."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from real_bus import RealBus

from storagebus.client import Client, engine
from storagebus.drivers import StorageDriver, create
from storagebus.drivers.errors import (
    InvalidParameterError,
    InvalidPathError,
    InvalidStateError,
    PathNotFoundError,
    StorageError,
    UnavailableError,
    UnknownServiceError,
)

MIB = 1 << 20


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that show where they belong."""
    return random.Random(seed).randbytes(size)


def test_it_is_a_storage_driver_with_the_remote_ones_name(client: Client) -> None:
    assert isinstance(client, StorageDriver)
    assert client.name == "inmemory"
    assert client.capabilities.identity
    with pytest.raises(PathNotFoundError) as caught:
        client.stat("/nothing/here")
    assert caught.value.driver == "inmemory"


def test_create_makes_one_from_strings(shared_bus: RealBus) -> None:
    given = {"endpoint": f" {shared_bus.endpoint} ,", "deadline": "5"}
    with create("bus", given) as driver:
        assert isinstance(driver, Client)
        driver.put_content("/made/by/create", b"x")
        assert driver.get_content("/made/by/create") == b"x"


@pytest.mark.parametrize(
    "given",
    [
        {"endpoint": ""},
        {"endpoint": "http://x"},
        {"endpoint": "ipc:///x", "deadline": 0},
        {"endpoint": "ipc:///x", "deadline": "soon"},
        {"endpoint": "ipc:///x", "service": ""},
        {"endpoint": "ipc:///x", "colour": "red"},
    ],
)
def test_unfit_parameters_are_refused_at_once(given: dict[str, object]) -> None:
    with pytest.raises(InvalidParameterError):
        create("bus", given)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 262_143, 3 * MIB + 5])
def test_content_of_any_size(client: Client, size: int) -> None:
    data = pattern(size, size)
    client.put_content("/sizes/x", data)
    assert client.get_content("/sizes/x") == data
    with client.reader("/sizes/x") as stream:
        buffer = bytearray(size + 10)
        assert stream.readinto(buffer) == size
        assert buffer[:size] == data


def test_a_reader_in_odd_pieces(client: Client) -> None:
    data = pattern(2 * MIB + 123)
    client.put_content("/odd/x", data)
    rng = random.Random(7)
    with client.reader("/odd/x", offset=77, length=2 * MIB) as stream:
        found = bytearray()
        while piece := stream.read(rng.randint(1, 300_000)):
            found += piece
    assert found == data[77 : 77 + 2 * MIB]


def test_a_writer_counts_what_it_accepts(client: Client) -> None:
    data = pattern(MIB)
    with client.writer("/counted/x") as upload:
        total = 0
        buffer = bytearray(1_000)
        for start in range(0, len(data), 1_000):
            piece = data[start : start + 1_000]
            buffer[: len(piece)] = piece
            assert upload.write(memoryview(buffer)[: len(piece)]) == len(piece)
            total += len(piece)
            assert upload.size == total
        upload.commit()
    assert client.get_content("/counted/x") == data


def test_an_abandoned_stream_is_given_up(client: Client, shared_bus: RealBus) -> None:
    client.put_content("/left/x", bytes(8 * MIB))
    for _ in range(5):
        client.reader("/left/x").read(10)  # neither closed nor read on
        next(client.walk("/left"))
        client.writer("/left/y").write(b"abc")
    ends = time.monotonic() + 10
    while client.bus_status()["services"]["default"]["workers"][0]["streams"]:
        assert time.monotonic() < ends, "streams are left over"
        time.sleep(0.02)


def test_an_unknown_service_is_said_so(shared_bus: RealBus) -> None:
    with (
        Client(shared_bus.endpoint, service="nope") as client,
        pytest.raises(UnknownServiceError, match="nope"),
    ):
        client.stat("/x")


def test_without_a_broker_a_call_ends_by_its_deadline(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/none"
    with Client(endpoint, deadline=0.3) as client:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="check that the broker runs"):
            client.stat("/x")
        assert time.monotonic() - started < 10  # another limit is 30 s
        assert client.name == "bus"
        with pytest.raises(InvalidPathError):
            client.stat("no path")  # said without a broker


def test_a_client_may_be_there_before_the_broker() -> None:
    with RealBus(workers=0) as bus:
        bus.brokers[0].stop()
        with Client(bus.endpoint, deadline=20.0) as client:
            answers: list[object] = []
            thread = threading.Thread(target=lambda: answers.append(client.list("/")))
            thread.start()
            time.sleep(0.2)
            bus.start_broker(0)
            bus.add_worker()
            thread.join(20)
        assert answers == [[]]


def test_a_closed_client_says_so(shared_bus: RealBus) -> None:
    client = Client(shared_bus.endpoint)
    client.put_content("/closing/x", bytes(3 * MIB))
    stream = client.reader("/closing/x")
    client.close()
    client.close()
    with pytest.raises(InvalidStateError, match="closed"):
        client.stat("/x")
    with pytest.raises(StorageError):
        stream.read()
    stream.close()


def test_the_thread_goes_with_the_last_client(shared_bus: RealBus) -> None:
    def io_threads() -> int:
        return sum(t.name == "storagebus-client" for t in threading.enumerate())

    before = io_threads()
    clients = [Client(shared_bus.endpoint) for _ in range(3)]
    assert io_threads() == before  # nothing before the first call
    for each in clients:
        each.list("/")
    assert io_threads() == max(1, before)
    for each in clients:
        each.close()
    assert io_threads() == before


def test_many_threads_share_a_client(client: Client) -> None:
    def work(number: int) -> int:
        rng = random.Random(number)
        for turn in range(8):
            path = f"/threads/{number}/{turn}"
            data = rng.randbytes(rng.choice([10, 5_000, 200_000, MIB]))
            if turn % 2:
                client.put_content(path, data)
            else:
                with client.writer(path) as upload:
                    upload.write(data)
                    upload.commit()
            assert client.stat(path).size == len(data)
            assert client.get_content(path) == data
            with client.reader(path, offset=5) as stream:
                assert stream.read() == data[5:]
        return len(client.list(f"/threads/{number}"))

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(work, range(32))) == [8] * 32


def test_more_streams_than_the_worker_holds_wait_their_turn(client: Client) -> None:
    client.put_content("/turns/x", pattern(300_000))
    streams = [client.reader("/turns/x") for _ in range(100)]
    assert all(s.read(10) == pattern(300_000)[:10] for s in streams)
    for stream in streams:
        stream.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_makes_its_own(client: Client, shared_bus: RealBus) -> None:
    data = pattern(20_000_000)  # more than is ever read ahead
    client.put_content("/fork/x", data)
    stream = client.reader("/fork/x")
    stream.read(10)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            assert client.get_content("/fork/x") == data
            with client.reader("/fork/x") as own:
                assert own.read() == data
            try:
                while stream.read(1_000):
                    pass
                code = 2
            except InvalidStateError:
                client.put_content("/fork/child", b"child")
                client.close()
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert client.get_content("/fork/child") == b"child"
    assert stream.read() == data[10:]  # the parent's connection is untouched
    stream.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_client_goes_to_other_processes(client: Client, method: str) -> None:
    data = pattern(200_000)
    client.put_content("/fork/x", data)
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map(client.get_content, ["/fork/x"] * 4)
        pool.close()
        pool.join()
    assert found == [data] * 4


def test_forgetting_to_close_ends_the_program_all_the_same(
    shared_bus: RealBus,
) -> None:
    code = (
        "import sys\nfrom storagebus.client import Client\n"
        "c = Client(sys.argv[1])\nc.put_content('/exit/x', bytes(3_000_000))\n"
        "f = c.reader('/exit/x')\nf.read(5)\n"
        "w = c.writer('/exit/y')\nw.write(b'abc')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, shared_bus.endpoint],
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_import_is_light() -> None:
    code = (
        "import sys, storagebus.client\n"
        "heavy = {'asyncio', 'click', 'boto3', 'tqdm', 'concurrent.futures'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


def test_nothing_is_left_behind(shared_bus: RealBus) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    def use() -> None:
        with Client(shared_bus.endpoint) as client, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: client.list("/"), range(40)))

    use()
    time.sleep(0.2)
    before = descriptors()
    for _ in range(5):
        use()
    ends = time.monotonic() + 20
    while descriptors() > before + 4:
        assert time.monotonic() < ends, "descriptors are left over"
        time.sleep(0.05)
    assert engine._engine is None or engine._engine.usable

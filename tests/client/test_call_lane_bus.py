"""Call lanes over real buses: that they are used, what fails, and what must not."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from call_ways import Ways
from programs import wait_until
from real_bus import RealBus

from storagebus.broker.messages import INLINE_BYTES_MAX, Operation, Result
from storagebus.broker.packets import from_packet, to_packet
from storagebus.broker.wire import Message, Type
from storagebus.client import AsyncClient, Client, downloads
from storagebus.client.calllanes import LanePool, knock, opening
from storagebus.drivers.errors import (
    PathNotFoundError,
    ProtocolError,
)

DATA = random.Random(8).randbytes(INLINE_BYTES_MAX)
PATIENCE_S = 20.0


@pytest.fixture
def bus() -> Iterator[RealBus]:
    """A bus of its own, whose store is always quick."""
    with RealBus(heartbeat_ms=500) as made:
        yield made


@pytest.fixture
def client(bus: RealBus, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that has a lane."""
    monkeypatch.setenv("STORAGEBUS_LANE", "calls")
    with Client(bus.endpoint, deadline=PATIENCE_S) as made:
        for _ in range(2):  # the first one goes before a broker has answered
            made.put_content("/a/b", b"first")
        yield made


def test_small_calls_go_by_a_lane(client: Client, ways: Ways) -> None:
    client.put_content("/a/b", DATA)
    assert client.get_content("/a/b") == DATA
    assert client.stat("/a/b").size == len(DATA)
    assert client.list("/a") == ["/a/b"]
    with pytest.raises(PathNotFoundError) as caught:
        client.stat("/nothing")
    assert caught.value.path == "/nothing"
    assert (ways.direct, ways.by_bus) == (4, 0)


def test_what_is_too_large_goes_by_the_bus(client: Client, ways: Ways) -> None:
    client.put_content("/a/b", DATA + b"x")
    ways.reset()
    assert client.get_content("/a/b") == DATA + b"x"
    assert (ways.direct, ways.by_bus) == (0, 1)
    names = [f"/d/{number:0100}" for number in range(300)]
    for name in names:
        client.put_content(name, b"")
    ways.reset()
    assert client.list("/d") == names
    assert (ways.direct, ways.by_bus) == (0, 1)


def test_by_itself_after_some_calls(
    bus: RealBus, ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGEBUS_LANE", raising=False)
    with Client(bus.endpoint) as client:
        client.put_content("/a", b"1")
        for _ in range(20):
            assert client.get_content("/a") == b"1"
    assert ways.direct >= 15


def test_turned_off(bus: RealBus, ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "off")
    with Client(bus.endpoint) as client:
        client.put_content("/a", b"1")
        for _ in range(20):
            client.get_content("/a")
    assert ways.direct == 0


def test_the_broker_knows_how_many(client: Client, bus: RealBus) -> None:
    for _ in range(50):
        client.stat("/a/b")

    def told() -> bool:
        [worker] = client.bus_status()["services"]["default"]["workers"]
        return int(worker["direct"]) >= 50

    assert wait_until(told, PATIENCE_S)


def test_many_threads(client: Client, ways: Ways) -> None:
    def work(number: int) -> None:
        generator = random.Random(number)
        for turn in range(30):
            content = generator.randbytes(generator.randrange(5_000))
            path = f"/t/{number}/{turn % 5}"
            client.put_content(path, content)
            if client.get_content(path) != content:
                wrong.append(path)
            if client.stat(path).size != len(content):
                wrong.append(path)

    wrong: list[str] = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert ways.direct > ways.by_bus


def test_tasks_at_once(
    bus: RealBus, ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "calls")

    async def work(client: AsyncClient, number: int) -> None:
        for turn in range(20):
            content = b"%d %d" % (number, turn)
            await client.put_content(f"/t/{number}/y", content)
            assert await client.get_content(f"/t/{number}/y") == content
            assert await client.list(f"/t/{number}") == [f"/t/{number}/y"]

    async def give_up(client: AsyncClient, number: int) -> None:
        for turn in range(20):
            task = asyncio.ensure_future(client.stat("/t"))
            await asyncio.sleep(0.0005 * (turn % 4))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def main() -> None:
        async with AsyncClient(bus.endpoint) as client:
            await client.put_content("/t/x", b"")
            await asyncio.gather(
                *(work(client, number) for number in range(40)),
                *(give_up(client, number) for number in range(5)),
            )

    asyncio.run(main())
    assert ways.direct > ways.by_bus


def test_a_worker_that_drains_is_left(
    files: tuple[RealBus, Client], ways: Ways
) -> None:
    bus, client = files
    client.stat("/a/b")
    bus.add_worker()
    bus.workers[0].send_signal(signal.SIGTERM)
    bus.workers.pop(0).wait(PATIENCE_S)
    for _ in range(10):
        assert client.get_content("/a/b") == b"first"


def test_without_a_broker_nobody_says_who_has_time(
    client: Client, bus: RealBus, ways: Ways
) -> None:
    client.stat("/a/b")
    bus.brokers[0].stop()
    assert wait_until(lambda: not client._driver.operations.transport.call_lanes, 20)
    ways.reset()
    late = threading.Thread(target=client.stat, args=("/a/b",))
    late.start()
    time.sleep(0.2)
    assert late.is_alive() and ways.direct == 0
    bus.start_broker(0)
    late.join(PATIENCE_S)
    assert not late.is_alive()


def test_a_forked_child_makes_lanes_of_its_own(client: Client) -> None:
    for _ in range(5):
        client.stat("/a/b")
    child = os.fork()
    if not child:
        try:
            good = all(client.get_content("/a/b") == b"first" for _ in range(20))
            os._exit(0 if good else 1)
        finally:
            os._exit(2)
    for _ in range(200):
        assert client.stat("/a/b").size == 5
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.fixture
def lane(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], socket.socket]]:
    """Makes connections that have shown a token, for a client that behaves badly."""
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        offers: list[Result] = []
        with monkeypatch.context() as patch:
            patch.setattr(LanePool, "lease", lambda *_: None)
            patch.setattr(LanePool, "wants", lambda *_: True)
            patch.setattr(LanePool, "admit", lambda pool, offer: offers.append(offer))
            client.stat("/a/b")
        connection = knock(offers[0])
        connection.settimeout(PATIENCE_S)
        assert connection.recv(10) == b"L"
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


STAT = b"".join(
    to_packet(
        Message(Type.OPEN, 1, Operation.STAT, fields=b"\x80", budget_ms=1, offset=1)
    )
)


@pytest.mark.parametrize(
    "packets",
    [
        [b"x"],
        [bytes(90_000)],
        [b"".join(to_packet(Message(Type.CANCEL, 1)))],
        [b"".join(to_packet(Message(Type.PING)))],
        [STAT[:-1] + b"\xc1"],
    ],
)
def test_who_breaks_the_rules_loses_his_lane_only(
    lane: Callable[[], socket.socket], client: Client, packets: list[bytes]
) -> None:
    bad, good = lane(), lane()
    for packet in packets:
        bad.send(packet)
    answer = bad.recv(100_000)
    assert not answer or from_packet(answer).type is Type.ERROR
    fields = b"\x82\xa7service\xa7default\xa4path\xa4/a/b"
    good.sendmsg(opening(1, Operation.STAT, fields, b""))
    message = from_packet(good.recv(100_000))
    assert message.type is Type.RESULT and message.map()["size"] == 5
    assert client.get_content("/a/b") == b"first"


def test_who_does_not_read_holds_up_nobody(
    lane: Callable[[], socket.socket], client: Client
) -> None:
    client.put_content("/large", DATA)
    fields = b"\x82\xa7service\xa7default\xa4path\xa6/large"
    deaf = [lane() for _ in range(10)]
    for number in range(1, 50):
        for connection in deaf:
            try:
                connection.sendmsg(opening(number, Operation.READ, fields, b""))
            except OSError:
                continue
        assert client.get_content("/a/b") == b"first"


def test_a_token_works_once(
    lane: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    offers: list[Result] = []
    plain = knock
    monkeypatch.setattr(
        sys.modules[__name__],
        "knock",
        lambda offer: (offers.append(offer), plain(offer))[1],
    )
    lane()
    again = plain(offers[0])
    again.settimeout(PATIENCE_S)
    try:
        assert again.recv(10) == b""
    except ConnectionResetError:
        pass
    again.close()


def test_a_reader_is_opened_by_a_lane(
    files: tuple[RealBus, Client], ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of a small object come with that, and the file of a large one."""
    bus, _ = files
    monkeypatch.setenv("STORAGEBUS_LANE", "auto")
    large = DATA * 3
    with Client(bus.endpoint) as client:
        client.put_content("/small", DATA)
        client.put_content("/large", large)
        for _ in range(20):
            client.stat("/small")
        ways.reset()
        for path, content in (("/small", DATA), ("/large", large)):
            with client.reader(path, 5) as reader:
                assert reader.identity == client.stat(path).identity
                assert reader.read() == content[5:]
            with client.reader(path, 7, 90) as reader:
                assert reader.read(10) + reader.read() == content[7:97]
            assert client.get_content(path) == content
        with client.reader("/large") as reader:
            assert os.pread(reader.fileno(), 9, 0) == large[:9]
        assert ways.direct > ways.by_bus


def test_a_reader_that_is_closed_after_its_client(
    files: tuple[RealBus, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, _ = files
    monkeypatch.setenv("STORAGEBUS_LANE", "auto")
    client = Client(bus.endpoint)
    client.put_content("/large", DATA * 3)
    readers = [client.reader("/large") for _ in range(8)]
    assert [reader.read() for reader in readers] == [DATA * 3] * 8
    client.close()
    for reader in readers:
        reader.close()


def test_a_file_that_cannot_be_used_is_read_by_the_bus(
    files: tuple[RealBus, Client], monkeypatch: pytest.MonkeyPatch, ways: Ways
) -> None:
    def refuse(*_: object) -> None:
        raise ProtocolError("not as the worker said")

    bus, _ = files
    monkeypatch.setenv("STORAGEBUS_LANE", "auto")
    monkeypatch.setattr(downloads, "file_lane", refuse)
    with Client(bus.endpoint) as client:
        client.put_content("/large", DATA * 3)
        for _ in range(20):
            client.stat("/large")
        assert client.get_content("/large") == DATA * 3
        with client.reader("/large", 3) as reader:
            assert reader.read() == (DATA * 3)[3:]


def test_readers_that_end_at_once_get_lanes(
    files: tuple[RealBus, Client], monkeypatch: pytest.MonkeyPatch, ways: Ways
) -> None:
    """The answer that offers one may come after the reader has all it wants."""
    bus, client = files
    monkeypatch.setenv("STORAGEBUS_LANE", "auto")
    large = DATA * 3
    client.put_content("/large", large)
    with Client(bus.endpoint) as own:
        for number in range(60):
            with own.reader("/large", number) as reader:
                assert reader.read(1) == large[number : number + 1]
    assert ways.direct > 20


def test_many_readers_at_once_on_a_loop(
    files: tuple[RealBus, Client], monkeypatch: pytest.MonkeyPatch, ways: Ways
) -> None:
    bus, client = files
    monkeypatch.setenv("STORAGEBUS_LANE", "auto")
    large = DATA * 3
    client.put_content("/large", large)

    async def read(own: AsyncClient, number: int) -> None:
        async with own.reader("/large", number) as reader:
            assert await reader.read(1) == large[number : number + 1]
            await asyncio.sleep(0.01)
            assert await reader.read() == large[number + 1 :]

    async def main() -> None:
        async with AsyncClient(bus.endpoint) as own:
            for _ in range(6):
                await asyncio.gather(*(read(own, number) for number in range(200)))

    asyncio.run(main())
    assert ways.direct > ways.by_bus

"""Lanes over real buses: each kind, its failures, and what is left behind."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from programs import wait_until
from real_bus import RealBus

from storagebus.broker.memorylane import MemoryLane
from storagebus.client import AsyncClient, Client, downloads, filelane, uploads
from storagebus.drivers.errors import (
    DataLossError,
    DeadlineExceededError,
    UnavailableError,
)

MIB = 1 << 20
DATA = random.Random(5).randbytes(9 * MIB + 12_345)
SEGMENT = "memfd:storagebus-lane"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[RealBus]:
    """A bus of its own with one filesystem worker."""
    with RealBus("filesystem", {"rootdirectory": str(tmp_path)}) as made:
        yield made


@pytest.fixture(params=["auto", "memory", "file", "off"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What kind of lane the clients take."""
    monkeypatch.setenv("STORAGEBUS_LANE", request.param)
    return str(request.param)


class Watch:
    """Counts the lanes that are taken in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[str] = []
        for module, name in (
            (downloads, "fetch_file"),
            (downloads, "fetch_memory"),
            (uploads, "fetch_memory"),
        ):
            plain = getattr(module, name)

            def fetch(*args: Any, _plain: Any = plain, **more: Any) -> Any:
                lane = _plain(*args, **more)
                if lane is not None:
                    way = {True: "up", False: "down", None: "file"}
                    self.taken.append(way[more.get("writable")])
                return lane

            monkeypatch.setattr(module, name, fetch)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def fill(client: Client, path: str, data: bytes = DATA, piece: int = 700_001) -> None:
    with client.writer(path) as writer:
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
        writer.commit()


def segments(pid: int) -> int:
    """Segments that a process has mapped or open."""
    maps = Path(f"/proc/{pid}/maps").read_text().count(SEGMENT)
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            maps += SEGMENT in str(fd.readlink())
        except OSError:
            pass  # closed meanwhile
    return maps


EXPECTED = {
    "auto": ["up", "file"],
    "memory": ["up", "down"],
    "file": ["file"],
    "off": [],
}


def test_each_kind_is_taken_and_the_bytes_are_right(
    bus: RealBus, mode: str, watch: Watch
) -> None:
    with Client(bus.endpoint) as client:
        fill(client, "/a")
        with client.reader("/a") as stream:
            assert stream.read() == DATA
        assert watch.taken == EXPECTED[mode]
        with client.reader("/a", 1_000_000, 3_000_000) as stream:
            got = bytearray()
            while piece := stream.read(100_003):
                got += piece
        assert got == DATA[1_000_000:4_000_000]
        buffer = bytearray(len(DATA) + 10)
        with client.reader("/a") as stream:
            assert stream.readinto(buffer) == len(DATA)
        assert buffer[: len(DATA)] == DATA
        assert client.get_content("/a") == DATA
        assert wait_until(lambda: segments(os.getpid()) == 0, 20)
        assert wait_until(lambda: segments(bus.workers[0].pid) == 0, 20)


def test_the_async_client_likewise(bus: RealBus, mode: str, watch: Watch) -> None:
    async def work() -> None:
        async with AsyncClient(bus.endpoint) as client:
            async with client.writer("/a") as writer:
                for start in range(0, len(DATA), 700_001):
                    await writer.write(DATA[start : start + 700_001])
                await writer.commit()
            async with client.reader("/a") as stream:
                assert await stream.read() == DATA
            assert watch.taken == EXPECTED[mode]
            async with client.reader("/a", 5, 2_000_000) as stream:
                found = await stream.file_range()
                assert (found is not None) == (mode in ("auto", "file"))
                got = b""
                async for piece in stream:
                    got += piece
            assert got == DATA[5:2_000_005]
            assert await client.get_content("/a") == DATA

    asyncio.run(work())
    assert wait_until(lambda: segments(os.getpid()) == 0, 20)


def test_the_file_can_be_given_to_sendfile(bus: RealBus) -> None:
    with Client(bus.endpoint) as client:
        fill(client, "/a")
        with client.reader("/a", 100, 200_000) as stream:
            found = stream.file_range()
            assert found is not None
            assert stream.fileno() == found.fd
            one, other = socket.socketpair()
            got = bytearray()

            def receive() -> None:
                while piece := other.recv(65_536):
                    got.extend(piece)

            thread = threading.Thread(target=receive)
            thread.start()
            at = found.start
            while at < found.end:
                at += os.sendfile(one.fileno(), found.fd, at, found.end - at)
            one.close()
            thread.join()
            other.close()
            assert got == DATA[100:200_100]
            assert stream.read() == got


def test_a_stream_without_a_file_has_no_descriptor() -> None:
    with RealBus() as bus, Client(bus.endpoint) as client:
        fill(client, "/a")
        with client.reader("/a") as stream:
            assert stream.file_range() is None
            with pytest.raises(OSError, match="fileno"):
                stream.fileno()
            assert stream.read() == DATA


def test_a_file_outlives_its_worker_its_path_and_its_broker(bus: RealBus) -> None:
    with Client(bus.endpoint) as client:
        fill(client, "/a")
        with client.reader("/a") as stream:
            head = stream.read(100_000)
            client.delete("/a")
            bus.kill_worker()
            assert head + stream.read() == DATA


def test_it_is_the_object_that_was_opened(bus: RealBus) -> None:
    with Client(bus.endpoint) as client:
        fill(client, "/a")
        with client.reader("/a") as stream:
            fill(client, "/a", bytes(len(DATA)))
            assert stream.read() == DATA


def test_a_file_that_somebody_cuts_is_data_loss(bus: RealBus, tmp_path: Path) -> None:
    with Client(bus.endpoint) as client:
        fill(client, "/a")
        with client.reader("/a") as stream:
            stream.read(10)
            os.truncate(tmp_path / "a", 1_000)
            with pytest.raises(DataLossError):
                stream.read()


def test_a_file_on_a_disk_that_hangs_holds_nobody_beyond_the_deadline(
    bus: RealBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    pread = os.pread

    def hangs(*given: Any) -> bytes:
        assert let_go.wait(30)
        return pread(*given)

    def would_wait(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "it is not in memory")

    monkeypatch.setattr(filelane, "SURE_S_MAX", 0.0)
    monkeypatch.setattr(filelane, "is_in_memory", lambda _: False)
    with Client(bus.endpoint, deadline=0.6) as client:
        client.put_content("/a", DATA)
        with client.reader("/a") as reader:
            assert reader.read(1_000) == DATA[:1_000]
            assert reader.file_range() is not None
            monkeypatch.setattr(filelane.os, "pread", hangs)
            monkeypatch.setattr(filelane.os, "preadv", would_wait)
            buffer = bytearray(1_000)
            began = time.monotonic()
            for read in (
                lambda: reader.read(1_000),
                lambda: reader.readinto(buffer),
                lambda: client.get_content("/a"),
            ):
                with pytest.raises(DeadlineExceededError, match="file of the object"):
                    read()
            assert time.monotonic() - began < 10
            let_go.set()
            assert reader.read(1_000) == DATA[1_000:2_000], "nothing was taken"
            assert buffer == bytes(1_000), "who was left behind does not write there"
            assert reader.read() == DATA[2_000:]
            with client.reader("/a") as again:
                large = bytearray(len(DATA))
                assert again.readinto(large) == len(DATA)
                assert large == DATA


def test_a_killed_workers_readers_go_on_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Watch
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "memory")
    folder = {"rootdirectory": str(tmp_path)}
    with (
        RealBus("filesystem", folder, workers=2) as bus,
        Client(bus.endpoint) as client,
    ):
        fill(client, "/a", DATA * 4)
        streams = [client.reader("/a") for _ in range(4)]
        got = [bytearray(stream.read(3 * MIB)) for stream in streams]
        bus.kill_worker()
        for data, stream in zip(got, streams, strict=True):
            data += stream.read()
            assert data == DATA * 4
            stream.close()
        assert watch.taken.count("down") > 4, "none was taken again"


def test_an_object_that_was_replaced_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "memory")
    folder = {"rootdirectory": str(tmp_path)}
    with (
        RealBus("filesystem", folder, workers=2) as bus,
        Client(bus.endpoint) as client,
    ):
        fill(client, "/a", DATA * 4)
        with client.reader("/a") as stream:
            stream.read(MIB)
            fill(client, "/a", bytes(len(DATA) * 4))
            bus.kill_worker()
            bus.kill_worker()
            bus.add_worker()
            with pytest.raises(DataLossError, match="replaced"):
                stream.read()


@pytest.mark.parametrize("mode", ["memory", "auto"])
def test_a_worker_that_is_stuck_costs_no_more_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", mode)
    with RealBus() as bus, Client(bus.endpoint, deadline=1.0) as client:
        fill(client, "/a")
        stream = client.reader("/a")
        upload = client.writer("/b")
        upload.write(DATA[: 3 * MIB])
        os.kill(bus.workers[0].pid, 19)
        try:
            for attempt in (stream.read, lambda: upload.write(DATA), upload.commit):
                began = time.monotonic()
                with pytest.raises((DeadlineExceededError, UnavailableError)):
                    attempt()
                assert time.monotonic() - began < 10  # other limits are 30 s
        finally:
            os.kill(bus.workers[0].pid, 18)


def test_a_killed_workers_uploads_go_on_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Watch
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "memory")
    folder = {"rootdirectory": str(tmp_path)}
    with (
        RealBus("filesystem", folder, workers=2) as bus,
        Client(bus.endpoint) as client,
    ):
        writers = [client.writer(f"/a{number}") for number in range(4)]
        for writer in writers:
            writer.write(DATA[: 4 * MIB])
        bus.kill_worker()
        for number, writer in enumerate(writers):
            for start in range(4 * MIB, len(DATA), MIB):
                writer.write(DATA[start : start + MIB])
            writer.commit()
            writer.close()
            assert client.get_content(f"/a{number}") == DATA
        assert watch.taken.count("up") > 4, "none was taken again"


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_lane_that_cannot_be_fetched_is_no_loss(
    bus: RealBus, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", kind)
    tried = []
    monkeypatch.setattr(downloads, "fetch_file", lambda *_, **__: tried.append(1))
    monkeypatch.setattr(downloads, "fetch_memory", lambda *_, **__: None)
    monkeypatch.setattr(uploads, "fetch_memory", lambda *_, **__: None)
    with Client(bus.endpoint) as client:
        fill(client, "/a")
        with client.reader("/a") as stream:
            assert stream.file_range() is None
            assert stream.read() == DATA
        assert client.get_content("/a") == DATA
    assert len(tried) == (kind == "file"), "it is not tried again and again"


@pytest.mark.parametrize("bytes_max", ["0", "4096", "9000000"])
def test_without_room_bytes_go_by_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Watch, bytes_max: str
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "memory")
    monkeypatch.setenv("STORAGEBUS_WORKER_LANE_BYTES", bytes_max)
    folder = {"rootdirectory": str(tmp_path)}
    with RealBus("filesystem", folder) as bus, Client(bus.endpoint) as client:
        fill(client, "/a")
        streams = [client.reader("/a") for _ in range(3)]
        for stream in streams:
            stream.read(MIB)
        few = watch.taken.count("down")
        assert few == (1 if bytes_max == "9000000" else 0)
        for stream in streams:
            assert stream.read() == DATA[MIB:]
            stream.close()


def test_a_stopped_worker_holds_nobody_beyond_the_deadline(
    bus: RealBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload by a lane whose worker takes nothing more ends by its deadline."""
    monkeypatch.setenv("STORAGEBUS_LANE", "memory")
    with Client(bus.endpoint, deadline=3.0) as client:
        writer = client.writer("/a")
        writer.write(DATA[:MIB])
        os.kill(bus.workers[0].pid, 19)
        began = time.monotonic()
        try:
            with pytest.raises(Exception, match=r".") as caught:
                for _ in range(40):
                    writer.write(DATA[:MIB])
        finally:
            os.kill(bus.workers[0].pid, 18)
        assert time.monotonic() - began < 12
        assert caught.value.__class__.__module__.endswith("drivers.errors")


def test_a_client_that_scribbles_spoils_its_own_upload_only(
    bus: RealBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "memory")
    held: list[MemoryLane] = []
    plain = uploads.fetch_memory

    def keep(*args: Any, **more: Any) -> MemoryLane | None:
        lane = plain(*args, **more)
        assert lane is not None
        held.append(lane)
        return lane

    with Client(bus.endpoint) as client, Client(bus.endpoint) as other:
        monkeypatch.setattr(uploads, "fetch_memory", keep)
        bad = client.writer("/bad")
        bad.write(DATA[:MIB])
        monkeypatch.setattr(uploads, "fetch_memory", plain)
        stop = threading.Event()
        view = memoryview(held[0].segment.memory)

        def scribble() -> None:
            noise = os.urandom(4_096)
            while not stop.is_set():
                for at in range(0, len(view) - 4_096, 4_096):
                    view[at : at + 4_096] = noise

        thread = threading.Thread(target=scribble)
        thread.start()
        try:
            fill(other, "/good")
            for start in range(MIB, len(DATA), MIB):
                bad.write(DATA[start : start + MIB])
            bad.commit()
        finally:
            stop.set()
            thread.join()
            view.release()
        assert other.get_content("/good") == DATA
        assert client.stat("/bad").size == len(DATA)


def test_a_killed_client_leaves_no_segment(bus: RealBus) -> None:
    worker = bus.workers[0].pid
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.environ["STORAGEBUS_LANE"] = "memory"
            client = Client(bus.endpoint)
            writer = client.writer("/a")
            for _ in range(5):
                writer.write(DATA[:MIB])
            os.write(writing, b"x")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    assert segments(worker) > 0
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert wait_until(lambda: segments(worker) == 0, 10)


def test_a_killed_worker_leaves_no_socket_and_no_segment(
    bus: RealBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", "memory")
    sockets = Path("/proc/net/unix")
    inodes = {fd.stat().st_ino for fd in _sockets(bus.workers[0].pid)}
    names = [
        line.split()[-1]
        for line in sockets.read_text().splitlines()
        if "@storagebus-lane-" in line and int(line.split()[6]) in inodes
    ]
    assert len(names) == 1
    with Client(bus.endpoint) as client:
        fill(client, "/a", DATA)
        stream = client.reader("/a")
        stream.read(2 * MIB)
        bus.kill_worker()
        assert names[0] not in sockets.read_text()
        stream.close()
        assert wait_until(lambda: segments(os.getpid()) == 0, 20)


def _sockets(pid: int) -> list[Path]:
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        if str(fd.readlink()).startswith("socket:"):
            found.append(fd)
    return found

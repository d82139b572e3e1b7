"""client/aio.py and aiostreams.py, over a real broker and a real worker."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from real_bus import RealBus

from storagebus.client import AsyncClient, filelane
from storagebus.client.downloads import FILE_AHEAD_BYTES
from storagebus.drivers.errors import (
    DeadlineExceededError,
    InvalidOffsetError,
    InvalidParameterError,
    InvalidPathError,
    InvalidStateError,
    PathNotFoundError,
    StorageError,
    UnavailableError,
)

MIB = 1 << 20


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that show where they belong."""
    return random.Random(seed).randbytes(size)


def run(bus: RealBus, work: Callable[[AsyncClient], Awaitable[None]]) -> None:
    """Run a test on a loop of its own."""

    async def main() -> None:
        async with AsyncClient(bus.endpoint, deadline=20.0) as client:
            await work(client)

    asyncio.run(main())


async def streams_at_worker(client: AsyncClient) -> int:
    status = await client.bus_status()
    return int(status["services"]["default"]["workers"][0]["streams"])


def test_the_operations(shared_bus: RealBus) -> None:
    async def work(a: AsyncClient) -> None:
        data = pattern(3 * MIB + 7)
        await a.put_content("/ops/small", b"small")
        await a.put_content("/ops/large", bytearray(data))
        assert await a.get_content("/ops/small") == b"small"
        assert await a.get_content("/ops/large") == data
        assert (await a.stat("/ops/large")).size == len(data)
        assert await a.list("/ops") == ["/ops/large", "/ops/small"]
        await a.move("/ops/small", "/ops/moved")
        await a.move("/ops/moved", "/ops/moved")
        with pytest.raises(PathNotFoundError):
            await a.move("/ops/small", "/ops/small")
        assert await a.redirect_url("/ops/moved") is None
        assert await a.redirect_url("/ops/moved", "PUT") is None
        assert (await a.capabilities()).identity
        assert (await a.describe()).driver == "inmemory"
        await a.delete("/ops")
        with pytest.raises(PathNotFoundError) as caught:
            await a.stat("/ops")
        assert caught.value.driver == "inmemory"

    run(shared_bus, work)


def test_arguments_are_checked_before_anything_is_sent(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(f"ipc://{tmp_path}/none", deadline=5.0) as a:
            for call in (a.get_content, a.stat, a.list, a.delete):
                with pytest.raises(InvalidPathError):
                    await call("no/path")
            with pytest.raises(InvalidPathError):
                a.reader("/..")
            with pytest.raises(InvalidOffsetError):
                a.reader("/x", offset=-1)
            with pytest.raises(InvalidParameterError):
                a.writer("/x", append=1)  # type: ignore[arg-type]
            with pytest.raises(InvalidParameterError):
                await a.put_content("/x", "text")  # type: ignore[arg-type]
            with pytest.raises(InvalidParameterError):
                await a.redirect_url("/x", expires=0)

    asyncio.run(main())


def test_reading(shared_bus: RealBus) -> None:
    async def work(a: AsyncClient) -> None:
        data = pattern(5 * MIB)
        await a.put_content("/read/x", data)
        async with a.reader("/read/x", 10, 4 * MIB) as f:
            assert f.identity
            assert await f.read(100) == data[10:110]
            buffer = bytearray(2 * MIB)
            assert await f.readinto(buffer) == 2 * MIB
            assert buffer == data[110 : 110 + 2 * MIB]
            assert await f.read() == data[110 + 2 * MIB : 10 + 4 * MIB]
            assert await f.read(5) == b""
        with pytest.raises(InvalidStateError):
            await f.read(1)
        f = await a.reader("/read/x")
        assert b"".join([piece async for piece in f]) == data
        await f.close()
        with pytest.raises(PathNotFoundError):
            await a.reader("/read/nothing")
        identity = (await a.stat("/read/x")).identity
        async with a.reader("/read/x", if_match=identity) as f:
            assert await f.read(3) == data[:3]

    run(shared_bus, work)


def test_writing(shared_bus: RealBus) -> None:
    async def work(a: AsyncClient) -> None:
        data = pattern(5 * MIB)
        async with a.writer("/write/x") as w:
            for start in range(0, len(data), 70_000):
                await w.write(data[start : start + 70_000])
            assert w.size == len(data)
            await w.commit()
            with pytest.raises(InvalidStateError, match="committed"):
                await w.write(b"more")
        assert await a.get_content("/write/x") == data
        async with a.writer("/write/kept") as w:
            await w.write(b"abc")
        async with a.writer("/write/kept", append=True) as w:
            assert (w.size, w.generation) == (3, 2)
            await w.write(b"def")
            await w.commit()
        assert await a.get_content("/write/kept") == b"abcdef"
        with pytest.raises(ZeroDivisionError):
            async with a.writer("/write/x") as w:
                await w.write(b"new")
                raise ZeroDivisionError
        assert await a.get_content("/write/x") == data
        async with a.writer("/write/x", append=True) as w:
            assert w.size == len(data)  # nothing was kept of the cancelled one
            await w.cancel()

    run(shared_bus, work)


def test_walking(shared_bus: RealBus) -> None:
    async def work(a: AsyncClient) -> None:
        for name in ("a/1", "a/2", "b/1", "b/c/2", "d"):
            await a.put_content(f"/walk/{name}", b"x")
        found = [info.path async for info in a.walk("/walk")]
        assert [path.removeprefix("/walk/") for path in found] == [
            "a",
            "a/1",
            "a/2",
            "b",
            "b/1",
            "b/c",
            "b/c/2",
            "d",
        ]
        left = []
        walk = a.walk("/walk", start_after="/walk/a")
        async for info in walk:
            left.append(info.path)
            if info.path == "/walk/b":
                walk.skip()
        assert left == ["/walk/a/1", "/walk/a/2", "/walk/b", "/walk/d"]
        with pytest.raises(PathNotFoundError):
            await a.walk("/walk/nothing")

    run(shared_bus, work)


def test_many_tasks_at_once(shared_bus: RealBus) -> None:
    async def work(a: AsyncClient) -> None:
        async def one(number: int) -> None:
            data = pattern(random.Random(number).randint(0, 400_000), number)
            await a.put_content(f"/tasks/{number}", data)
            assert await a.get_content(f"/tasks/{number}") == data

        await asyncio.gather(*[one(number) for number in range(100)])
        assert len(await a.list("/tasks")) == 100

    run(shared_bus, work)


def test_the_loop_stays_responsive(shared_bus: RealBus) -> None:
    async def work(a: AsyncClient) -> None:
        await a.put_content("/busy/x", bytes(32 * MIB))
        turns = 0

        async def ticker() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(ticker())
        for _ in range(3):
            before = turns
            async with a.reader("/busy/x") as f:
                while await f.read(MIB):
                    pass
            assert turns - before >= 32  # one a piece
        task.cancel()

    run(shared_bus, work)


def test_cancelling_a_task_cancels_its_operation(shared_bus: RealBus) -> None:
    async def work(a: AsyncClient) -> None:
        await a.put_content("/cancel/x", bytes(32 * MIB))

        async def read() -> None:
            async with a.reader("/cancel/x") as f:
                await f.read(10)
                await asyncio.sleep(60)

        async def write() -> None:
            async with a.writer("/cancel/y") as w:
                await w.write(bytes(MIB))
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(read()), asyncio.create_task(write())]
        tasks += [asyncio.create_task(a.get_content("/cancel/x")) for _ in range(5)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ends = time.monotonic() + 10
        while await streams_at_worker(a):
            assert time.monotonic() < ends, "streams are left over"
            await asyncio.sleep(0.02)
        assert await a.list("/cancel") == ["/cancel/x"]
        async with a.writer("/cancel/y", append=True) as w:
            assert w.size == 0

    run(shared_bus, work)


def test_what_is_forgotten_is_given_up(shared_bus: RealBus) -> None:
    async def work(a: AsyncClient) -> None:
        await a.put_content("/left/x", bytes(8 * MIB))
        async for _ in a.walk("/"):
            break
        f = await a.reader("/left/x")
        await f.read(10)
        w = await a.writer("/left/y")
        await w.write(b"abc")
        del f, w
        gc.collect()
        ends = time.monotonic() + 10
        while await streams_at_worker(a):
            assert time.monotonic() < ends, "streams are left over"
            await asyncio.sleep(0.02)

    run(shared_bus, work)


def test_a_silent_broker_costs_no_more_than_the_deadline(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(f"ipc://{tmp_path}/none", deadline=0.3) as a:
            started = time.monotonic()
            with pytest.raises(UnavailableError, match="check that the broker runs"):
                await a.stat("/x")
            assert time.monotonic() - started < 10  # another limit is 30 s

    asyncio.run(main())


def test_a_closed_client_says_so(shared_bus: RealBus) -> None:
    async def main() -> None:
        a = AsyncClient(shared_bus.endpoint)
        await a.put_content("/closed/x", bytes(8 * MIB))
        f = await a.reader("/closed/x")
        await f.read(10)
        await a.close()
        await a.close()
        with pytest.raises(InvalidStateError):
            await a.stat("/x")
        with pytest.raises(StorageError):
            await f.read()
        await f.close()

    asyncio.run(main())


def test_a_loss_is_mended(disk_bus: RealBus) -> None:
    data = pattern(24 * MIB)

    async def work(a: AsyncClient) -> None:
        await a.put_content("/loss/x", data)
        async with a.reader("/loss/x") as f, a.writer("/loss/y") as w:
            found = await f.read(MIB)
            await w.write(data[: 5 * MIB])
            await asyncio.to_thread(disk_bus.kill_worker)
            await asyncio.to_thread(disk_bus.kill_worker)
            await asyncio.to_thread(disk_bus.start_worker)
            found += await f.read()
            await w.write(data[5 * MIB :])
            await w.commit()
        assert found == data
        assert await a.get_content("/loss/y") == data

    run(disk_bus, work)


def test_a_file_on_a_disk_that_hangs_holds_nobody_beyond_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the event loop: it is another thread that hangs."""
    monkeypatch.setenv("STORAGEBUS_LANE", "file")
    let_go = threading.Event()

    def hangs(*_: object) -> int:
        let_go.wait(30)
        raise OSError(5, "Input/output error")

    def would_wait(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "it is not in memory")

    async def main(bus: RealBus) -> None:
        async with AsyncClient(bus.endpoint, deadline=0.6) as a:
            await a.put_content("/x", pattern(MIB))
            assert await a.get_content("/x") == pattern(MIB)
            monkeypatch.setattr(filelane, "is_in_memory", lambda _: False)
            monkeypatch.setattr(filelane.os, "preadv", would_wait)
            monkeypatch.setattr(filelane.os, "pread", hangs)
            began = time.monotonic()
            async with a.reader("/x") as stream:
                with pytest.raises(DeadlineExceededError):
                    await stream.read(10)
            with pytest.raises(DeadlineExceededError):
                await a.get_content("/x")
            assert time.monotonic() - began < 5
            let_go.set()

    with RealBus("filesystem", {"rootdirectory": str(tmp_path)}) as bus:
        asyncio.run(main(bus))


def test_an_upload_of_a_file(shared_bus: RealBus, tmp_path: Path) -> None:
    data = pattern(3 * MIB + 7)
    local = tmp_path / "local"
    local.write_bytes(data)
    counts: list[int] = []

    async def work(a: AsyncClient) -> None:
        with local.open("rb") as file:
            file.seek(5)
            async with a.writer("/file") as upload:
                assert await upload.write_from(file, length=MIB + 1) == MIB + 1
                assert await upload.write_from(file, moved=counts.append) == (
                    len(data) - 5 - MIB - 1
                )
                assert await upload.write_from(file) == 0
                await upload.commit()
                with pytest.raises(InvalidStateError):
                    await upload.write_from(file)
        assert await a.get_content("/file") == data[5:]

    run(shared_bus, work)
    assert sum(counts) == len(data) - 5 - MIB - 1 and len(counts) > 1


def test_an_upload_from_a_pipe_does_not_hold_the_loop(shared_bus: RealBus) -> None:
    data = pattern(2 * MIB + 3)
    out, into = os.pipe()

    async def work(a: AsyncClient) -> None:
        with os.fdopen(out, "rb") as file:
            async with a.writer("/pipe") as upload:
                reading = asyncio.create_task(upload.write_from(file))
                # Nothing has come yet, and the client does other things meanwhile.
                await asyncio.wait_for(a.list("/"), 10)
                assert not reading.done()
                feeder = threading.Thread(target=feed)
                feeder.start()
                assert await asyncio.wait_for(reading, 20) == len(data)
                feeder.join()
                await upload.commit()
        assert await a.get_content("/pipe") == data

    def feed() -> None:
        with os.fdopen(into, "wb") as file:
            file.write(data)

    run(shared_bus, work)


def test_a_file_is_read_again_after_a_loss(disk_bus: RealBus, tmp_path: Path) -> None:
    data = pattern(24 * MIB)
    local = tmp_path / "local.bin"
    local.write_bytes(data)

    async def work(a: AsyncClient) -> None:
        upload = await a.writer("/again")
        lost: list[int] = []

        def moved(count: int) -> None:
            if upload.size > 9 * MIB and not lost:
                lost.append(upload.size)
                disk_bus.kill_worker(0)

        with local.open("rb") as file:
            assert await upload.write_from(file, moved=moved) == len(data)
        assert upload._upload._replay.held == 0
        await upload.commit()
        await upload.close()
        assert lost
        assert await a.get_content("/again") == data

    run(disk_bus, work)


def test_a_reader_of_a_file_holds_little_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of them would hold a gibibyte otherwise."""
    monkeypatch.setenv("STORAGEBUS_LANE", "file")
    data = pattern(3 * MIB + 7)

    async def main(bus: RealBus) -> None:
        async with AsyncClient(bus.endpoint) as a:
            await a.put_content("/x", data)
            async with a.reader("/x") as stream:
                got = await stream.read(1)
                assert len(stream._rest) < FILE_AHEAD_BYTES
                for size in (10, 100_000, MIB, MIB, 0, 2 * MIB):
                    got += await stream.read(size)
                    assert len(stream._rest) <= FILE_AHEAD_BYTES
                assert got == data
                assert await stream.read() == b""
            async with a.reader("/x") as stream:
                assert b"".join([piece async for piece in stream]) == data

    with RealBus("filesystem", {"rootdirectory": str(tmp_path)}) as bus:
        asyncio.run(main(bus))

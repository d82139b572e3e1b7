"""Threads, and tasks, that share a stream of a real bus, and close it in its middle."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from real_bus import RealBus

from storagebus.client import AsyncClient, Client
from storagebus.drivers.errors import CancelledError, InvalidStateError

DATA = random.Random(11).randbytes(6_000_000)
STEP = 10_007
PARTS = sorted(DATA[at : at + STEP] for at in range(0, len(DATA), STEP))
PIECES = [random.Random(number).randbytes(10_000) for number in range(60)]
WAIT_S = 20
LANES = ["auto", "off"]


@pytest.fixture(params=LANES)
def bus(
    shared_bus: RealBus, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> RealBus:
    """The bus with the object; with lanes and without."""
    monkeypatch.setenv("STORAGEBUS_LANE", request.param)
    with Client(shared_bus.endpoint, deadline=WAIT_S) as client:
        client.put_content("/shared/object", DATA)
    return shared_bus


def parts_of(content: bytes) -> list[bytes]:
    """What the pieces of an upload have become, in any order."""
    return sorted(content[at : at + 10_000] for at in range(0, len(content), 10_000))


def test_threads_read_one_after_the_other(bus: RealBus) -> None:
    got: list[bytes] = []
    with (
        Client(bus.endpoint, deadline=WAIT_S) as client,
        client.reader("/shared/object") as stream,
    ):

        def work() -> None:
            while data := stream.read(STEP):
                got.append(data)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
    assert sorted(got) == PARTS


def test_a_thread_reads_while_another_closes(bus: RealBus) -> None:
    with Client(bus.endpoint, deadline=WAIT_S) as client:
        for number in range(25):
            stream = client.reader("/shared/object")

            def work(stream=stream) -> None:  # type: ignore[no-untyped-def]
                with pytest.raises(InvalidStateError):
                    while True:
                        stream.read(1_000)

            thread = threading.Thread(target=work)
            thread.start()
            threading.Event().wait(number * 0.0004)
            stream.close()
            thread.join(WAIT_S)
            assert not thread.is_alive()


def test_threads_write_one_after_the_other(bus: RealBus) -> None:
    with Client(bus.endpoint, deadline=WAIT_S) as client:
        with client.writer("/shared/upload") as upload:
            threads = [
                threading.Thread(target=upload.write, args=[piece]) for piece in PIECES
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(WAIT_S)
            upload.commit()
        assert parts_of(client.get_content("/shared/upload")) == sorted(PIECES)


def test_tasks_read_one_after_the_other(bus: RealBus) -> None:
    async def work() -> None:
        got: list[bytes] = []
        async with (
            AsyncClient(bus.endpoint, deadline=WAIT_S) as client,
            client.reader("/shared/object") as stream,
        ):

            async def read_all() -> None:
                while data := await stream.read(STEP):
                    got.append(data)

            await asyncio.gather(*(read_all() for _ in range(8)))
        assert sorted(got) == PARTS

    asyncio.run(asyncio.wait_for(work(), 3 * WAIT_S))


def test_tasks_write_one_after_the_other(bus: RealBus) -> None:
    async def work() -> None:
        async with AsyncClient(bus.endpoint, deadline=WAIT_S) as client:
            upload = client.writer("/shared/upload")  # opened by whoever is first
            await asyncio.gather(*(upload.write(piece) for piece in PIECES))
            await upload.commit()
            await upload.close()
            content = await client.get_content("/shared/upload")
            assert parts_of(content) == sorted(PIECES)

    asyncio.run(asyncio.wait_for(work(), 3 * WAIT_S))


def test_a_task_reads_or_writes_while_another_closes(bus: RealBus) -> None:
    async def work() -> None:
        async with AsyncClient(bus.endpoint, deadline=WAIT_S) as client:
            for number in range(20):
                stream = await client.reader("/shared/object")
                upload = await client.writer("/shared/closed")

                async def read_on(stream=stream) -> None:  # type: ignore[no-untyped-def]
                    with pytest.raises((InvalidStateError, CancelledError)):
                        while True:
                            await stream.read(1_000_003)
                            await asyncio.sleep(0)  # at the end nothing waits

                async def write_on(upload=upload) -> None:  # type: ignore[no-untyped-def]
                    with pytest.raises((InvalidStateError, CancelledError)):
                        while True:
                            await upload.write(PIECES[0])

                tasks = [asyncio.create_task(w()) for w in (read_on, write_on)]
                await asyncio.sleep(number * 0.0004)
                await stream.close()
                await upload.close()
                await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(work(), 3 * WAIT_S))


def test_offsets_beyond_those_of_the_wire_are_past_the_end(bus: RealBus) -> None:
    with Client(bus.endpoint, deadline=WAIT_S) as client:
        for large in (2**53, 2**64, 10**30):
            with client.reader("/shared/object", large) as stream:
                assert stream.read() == b""
            with client.reader("/shared/object", len(DATA) - 5, large) as stream:
                assert stream.read() == DATA[-5:]

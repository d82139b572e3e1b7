"""client/filelane.py: a stream that is read from a file."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from storagebus.broker.lanes import Descriptor
from storagebus.client import filelane
from storagebus.client.filelane import FileLane
from storagebus.drivers.errors import DataLossError, InvalidStateError, StorageError

DATA = random.Random(7).randbytes(300_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "object"
    made.write_bytes(DATA)
    return made


def lane_of(path: Path, start: int = 0, end: int = len(DATA)) -> FileLane:
    return FileLane(Descriptor(os.open(path, os.O_RDONLY)), start, end, "/a")


@pytest.mark.parametrize(("start", "end"), [(0, 300_000), (5, 200_001), (9, 9)])
def test_the_range_and_no_more(path: Path, start: int, end: int) -> None:
    lane = lane_of(path, start, end)
    chance = random.Random(start)
    got = b""
    while lane.left:
        if chance.random() < 0.5:
            got += lane.read(chance.randint(1, 70_000))
        else:
            buffer = bytearray(chance.randint(1, 70_000))
            got += buffer[: lane.readinto(memoryview(buffer))]
    assert got == DATA[start:end]
    assert lane.read(10) == b""
    assert lane.readinto(memoryview(bytearray(3))) == 0
    lane.close()


def test_large_reads_take_several_calls(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelane, "CALL_BYTES_MAX", 7_777)
    lane = lane_of(path)
    assert lane.read(100_000) == DATA[:100_000]
    buffer = bytearray(100_000)
    assert lane.readinto(memoryview(buffer)) == 100_000
    assert buffer == DATA[100_000:200_000]
    assert lane.read(500_000) == DATA[200_000:]
    lane.close()


def test_what_is_in_memory_is_read_at_once(path: Path) -> None:
    lane = lane_of(path, 10)
    buffer = bytearray(1_000)
    count = lane.read_now(memoryview(buffer))
    if not count:
        pytest.skip("this file system cannot tell")
    assert buffer[:count] == DATA[10 : 10 + count]
    assert lane.left == len(DATA) - 10 - count
    lane.close()


def test_the_descriptor_stands_where_the_stream_begins(path: Path) -> None:
    lane = lane_of(path, 123, 456)
    lane.read(100)
    found = lane.range()
    assert (found.start, found.end) == (123, 456)
    assert os.lseek(found.fd, 0, os.SEEK_CUR) == 123
    assert os.read(found.fd, 10) == DATA[123:133]
    assert lane.read(10) == DATA[223:233], "its position means nothing to the stream"
    lane.close()


def test_a_file_that_was_cut_short_is_data_loss(path: Path) -> None:
    lane = lane_of(path)
    lane.read(100_000)
    os.truncate(path, 150_000)
    with pytest.raises(DataLossError) as caught:
        lane.read(100_000)
    assert caught.value.path == "/a"
    assert caught.value.offset == 150_000
    with pytest.raises(DataLossError):
        lane.readinto(memoryview(bytearray(50_001)))
    assert lane.read(50_000) == DATA[100_000:150_000], "nothing is left out"
    with pytest.raises(DataLossError):
        lane.read(1)
    lane.close()


def test_the_systems_errors_are_ours(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise OSError(5, "Input/output error")

    lane = lane_of(path)
    monkeypatch.setattr(filelane.os, "pread", fails)
    monkeypatch.setattr(filelane.os, "preadv", fails)
    for work in (lambda: lane.read(1), lambda: lane.readinto(memoryview(bytearray(1)))):
        with pytest.raises(StorageError, match="Input/output error"):
            work()
    lane.close()


def test_after_its_end_nothing_works(path: Path) -> None:
    lane = lane_of(path)
    fd = lane.range().fd
    lane.close()
    lane.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    for work in (lane.range, lambda: lane.read(1)):
        with pytest.raises(InvalidStateError):
            work()


def test_closing_does_not_wait_for_a_read_that_hangs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event loop closes it; the disk may be on another host."""
    lane = lane_of(path)
    fd = lane.range().fd
    begun, let_go = threading.Event(), threading.Event()
    preadv, counts = os.preadv, []

    def hangs(*given: Any) -> int:
        begun.set()
        assert let_go.wait(10)
        return preadv(*given)

    monkeypatch.setattr(filelane.os, "preadv", hangs)
    view = memoryview(bytearray(1_000))
    reading = threading.Thread(target=lambda: counts.append(lane.readinto(view)))
    reading.start()
    assert begun.wait(10)
    monkeypatch.setattr(filelane.os, "preadv", preadv)
    ended = time.monotonic() + 5
    assert lane.read_now(memoryview(bytearray(10))) == 0, "it would wait"
    lane.close()
    assert time.monotonic() < ended
    os.fstat(fd)  # its number is not another file's while it is read from
    with pytest.raises(InvalidStateError):
        lane.range()
    let_go.set()
    reading.join(10)
    assert counts == [1_000]
    assert view == DATA[:1_000]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_to_look_is_not_to_take(path: Path) -> None:
    lane = lane_of(path, 5)
    for _ in range(2):
        peeked = lane.peek(1_000, ready=False, within_s=5)
        assert peeked == (5, DATA[5:1_005])
    assert lane.skip(5, 1_000)
    assert not lane.skip(5, 1_000), "it was taken"
    assert lane.read(10) == DATA[1_005:1_015]
    lane.close()


def test_threads_get_different_parts(path: Path) -> None:
    lane = lane_of(path)
    pieces: list[bytes] = []

    def read() -> None:
        while piece := lane.read(97):
            pieces.append(piece)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    expected = [DATA[at : at + 97] for at in range(0, len(DATA), 97)]
    assert sorted(pieces) == sorted(expected)
    lane.close()


def test_what_is_ready_is_what_the_system_has_in_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelane, "is_in_memory", lambda _: False)
    monkeypatch.setattr(filelane, "PROBE_BYTES", 50_000)
    absent: set[int] = set()
    asked: list[int] = []

    def preadv(fd: int, views: list[bytearray], at: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        asked.append(at)
        if at in absent:
            raise BlockingIOError(errno.EAGAIN, "it would wait")
        return 1

    monkeypatch.setattr(filelane.os, "preadv", preadv)
    lane = lane_of(path, 10)
    assert lane.is_ready(200_000)
    assert asked == [10, 50_010, 100_010, 150_010, 200_009]
    asked.clear()
    assert lane.is_ready(100)
    assert asked == [], "it is sure of that"
    lane.skip(10, 200_000)
    absent.add(250_010)
    assert not lane.is_ready(80_000), "there is a hole"
    absent.clear()
    absent.add(200_010 + filelane.SURE_BYTES // 2)
    absent.add(len(DATA) - 1)
    asked.clear()
    assert lane.is_ready(100)
    assert asked[-1] == 200_109, "so much is certain"
    monkeypatch.setattr(filelane, "SURE_S_MAX", 0.0)
    lane.skip(200_010, 50)
    assert lane.is_ready(100)
    absent.add(lane.range().start + 200_050)
    assert not lane.is_ready(100), "memory is forgotten"
    lane.close()


def test_nothing_is_ready_where_the_system_cannot_tell(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelane, "is_in_memory", lambda _: False)
    asked: list[object] = []

    def cannot_tell(*given: object) -> int:
        asked.append(given)
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(filelane.os, "preadv", cannot_tell)
    lane = lane_of(path)
    for _ in range(5):
        assert not lane.is_ready(10)
    assert len(asked) <= 2, "it is not asked again and again"
    assert lane.is_ready(0)
    lane.close()


def test_a_file_system_in_memory_that_cannot_tell_is_read_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.preadv

    def cannot_tell(*given: Any) -> int:
        if len(given) > 3:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return plain(*given)

    monkeypatch.setattr(filelane.os, "preadv", cannot_tell)
    for in_memory, expected in ((False, 0), (True, 1_000)):
        monkeypatch.setattr(filelane, "is_in_memory", lambda _, so=in_memory: so)
        lane = lane_of(path, 5)
        buffer = bytearray(1_000)
        assert lane.read_now(memoryview(buffer)) == expected
        assert buffer[:expected] == DATA[5 : 5 + expected]
        assert lane.read(10) == DATA[5 + expected :][:10]
        lane.close()

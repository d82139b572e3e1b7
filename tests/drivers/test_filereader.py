"""Streams of files: exact ranges, one content, and loss that is told."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers import StorageDriver, filereader
from storagebus.drivers.errors import (
    DataLossError,
    InvalidStateError,
    PreconditionError,
)
from storagebus.drivers.filereader import FileReader, read_whole
from storagebus.drivers.permits import Permits

DATA = random.Random(5).randbytes(10_007)
SIZES = st.integers(0, 12_000)


def opened(path: Path, offset: int = 0, length: int | None = None) -> FileReader:
    source = os.open(path, os.O_RDONLY)
    return FileReader(source, "/a", os.fstat(source), offset, length, Permits(25))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reader") / "file"
    path.write_bytes(DATA)
    return path


@given(SIZES, st.none() | SIZES, st.lists(SIZES, max_size=5))
def test_any_range_in_any_pieces(
    stored: Path, offset: int, length: int | None, sizes: list[int]
) -> None:
    end = None if length is None else offset + length
    expected = DATA[offset:end]
    with opened(stored, offset, length) as stream:
        at = 0
        for size in sizes:
            if size % 2:
                data = stream.read(size)
            else:
                buffer = bytearray(size)
                data = bytes(buffer[: stream.readinto(buffer)])
            assert data == expected[at : at + size]
            at += len(data)
        assert stream.read() == expected[at:]
        assert stream.read(1) == stream.read1() == b""
        assert stream.readinto(bytearray(3)) == 0


def test_more_than_one_system_call_reads_on(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filereader, "READ_BYTES_MAX", 1_000)
    with opened(stored, 7) as stream:
        assert stream.read(5_000) == DATA[7:5_007]
        buffer = bytearray(4_999)
        assert stream.readinto(buffer) == 4_999
        assert bytes(buffer) == DATA[5_007:10_006]
    source = os.open(stored, os.O_RDONLY)
    assert read_whole(source, len(DATA), "/a") == DATA
    with pytest.raises(DataLossError) as caught:
        read_whole(source, len(DATA) + 1, "/a")
    assert (caught.value.path, caught.value.offset) == ("/a", len(DATA))
    os.close(source)


def test_the_descriptor_is_the_file_s_own(files: StorageDriver, root: Path) -> None:
    files.put_content("/a", DATA)
    with files.reader("/a", 4_000) as stream:
        status = os.fstat(stream.fileno())
        assert status.st_ino == (root / "a").stat().st_ino
        # Whoever reads from the descriptor begins where the stream begins.
        assert os.read(stream.fileno(), 10) == DATA[4_000:4_010]
        assert stream.read(10) == DATA[4_000:4_010]
    with pytest.raises((InvalidStateError, ValueError)):
        stream.fileno()


@pytest.mark.parametrize("way", ["put", "commit", "move", "delete"])
def test_a_reader_keeps_the_content_it_opened(driver: StorageDriver, way: str) -> None:
    driver.put_content("/a", DATA)
    driver.put_content("/other", DATA[::-1])
    with driver.reader("/a") as stream:
        assert stream.read(100) == DATA[:100]
        if way == "put":
            driver.put_content("/a", b"short")
        elif way == "commit":
            with driver.writer("/a") as upload:
                upload.write(DATA[::-1])
                upload.commit()
        elif way == "move":
            driver.move("/other", "/a")
        else:
            driver.delete("/a")
        assert stream.read() == DATA[100:]


def test_a_file_that_shrinks_in_place_is_data_loss(
    files: StorageDriver, root: Path
) -> None:
    files.put_content("/a", DATA)
    for read in (lambda s: s.read(), lambda s: s.readinto(bytearray(20_000))):
        (root / "a").write_bytes(DATA)
        with files.reader("/a", 10) as stream:
            assert stream.read(40) == DATA[10:50]
            os.truncate(root / "a", 3_000)
            with pytest.raises(DataLossError) as caught:
                read(stream)
        assert (caught.value.path, caught.value.offset) == ("/a", 3_000)


def test_a_file_that_grows_in_place_ends_where_it_ended(
    files: StorageDriver, root: Path
) -> None:
    files.put_content("/a", DATA)
    with files.reader("/a") as stream, (root / "a").open("ab") as growing:
        growing.write(b"more")
        growing.flush()
        assert stream.read() == DATA


def test_if_match_is_the_identity_of_stat(driver: StorageDriver) -> None:
    driver.put_content("/a", DATA)
    identity = driver.stat("/a").identity
    with driver.reader("/a", if_match=identity) as stream:
        assert stream.identity == identity
    driver.put_content("/a", DATA)
    with pytest.raises(PreconditionError) as caught:
        driver.reader("/a", if_match=identity)
    assert caught.value.path == "/a"


def test_a_close_waits_for_a_read(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the read could go to the next file that gets the descriptor's number."""
    stream = opened(stored)
    reading, go = threading.Event(), threading.Event()
    pread = os.pread
    results: list[bytes] = []

    def slow(source: int, size: int, offset: int) -> bytes:
        reading.set()
        go.wait(10)
        return pread(source, size, offset)

    monkeypatch.setattr(os, "pread", slow)
    reader = threading.Thread(target=lambda: results.append(stream.read(50)))
    closer = threading.Thread(target=stream.close)
    reader.start()
    assert reading.wait(10)
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    go.set()
    reader.join(10)
    closer.join(10)
    assert results == [DATA[:50]]
    assert stream.closed


@pytest.mark.usefixtures("descriptors")
def test_readers_leave_no_descriptor_behind(files: StorageDriver) -> None:
    files.put_content("/a", DATA)
    for _ in range(3):
        stream = files.reader("/a")
        stream.read(1)
        stream.close()
        stream.close()
        with pytest.raises(PreconditionError):
            files.reader("/a", if_match="another")
    stream = files.reader("/a")
    del stream  # closed by its end

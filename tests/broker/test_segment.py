"""broker/segment.py: the memory of a lane, and what is refused as such."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.broker.segment import Segment, make_segment, map_segment
from storagebus.broker.wire import LANE_BYTES_MAX
from storagebus.drivers.errors import ProtocolError

SIZE = 1 << 16
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@pytest.fixture
def read_only() -> Iterator[tuple[Segment, int]]:
    """A segment for a download, and its descriptor."""
    made, fd = make_segment(SIZE, writable=False)
    yield made, fd
    made.close()
    os.close(fd)


def test_what_one_writes_the_other_reads(read_only: tuple[Segment, int]) -> None:
    mine, fd = read_only
    theirs = map_segment(fd, SIZE, writable=False)
    data = Random(1).randbytes(SIZE)
    mine.view[:] = data
    assert theirs.view == data
    theirs.close()


def test_the_reader_can_write_by_no_means(read_only: tuple[Segment, int]) -> None:
    _, fd = read_only
    theirs = map_segment(fd, SIZE, writable=False)
    assert theirs.view.readonly
    with pytest.raises(ProtocolError):
        map_segment(fd, SIZE, writable=True)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    with pytest.raises(PermissionError):
        mmap.mmap(again, SIZE)
    os.close(again)
    theirs.close()


@pytest.mark.parametrize("writable", [True, False])
def test_nobody_can_cut_it_short(writable: bool) -> None:
    made, fd = make_segment(SIZE, writable=writable)
    for size in (0, SIZE // 2, SIZE * 2):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    made.close()
    os.close(fd)


def test_a_writer_writes_for_the_reader() -> None:
    made, fd = make_segment(SIZE, writable=True)
    theirs = map_segment(fd, SIZE, writable=True)
    theirs.view[5:9] = b"data"
    assert made.view[5:9] == b"data"
    theirs.close()
    made.close()
    os.close(fd)


def memory(size: int, seals: int, *, allocated: bool = True, flags: int = 0) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
    os.ftruncate(fd, size)
    if allocated:
        os.posix_fallocate(fd, 0, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


@pytest.mark.parametrize("missing", [1 << bit for bit in range(3)])
def test_every_seal_is_needed(missing: int) -> None:
    fd = memory(SIZE, SEALS & ~missing)
    with pytest.raises(ProtocolError, match="not sealed"):
        map_segment(fd, SIZE, writable=True)
    os.close(fd)


@pytest.mark.parametrize("size", [SIZE // 2, SIZE - 1, SIZE + 1])
def test_the_size_is_as_it_was_said(size: int) -> None:
    fd = memory(size, SEALS)
    with pytest.raises(ProtocolError, match="no memory of"):
        map_segment(fd, SIZE, writable=True)
    os.close(fd)


@pytest.mark.parametrize("size", [0, -1, LANE_BYTES_MAX + 1])
def test_a_size_that_is_none(size: int) -> None:
    fd = memory(SIZE, SEALS)
    with pytest.raises(ProtocolError, match="a lane of"):
        map_segment(fd, size, writable=True)
    os.close(fd)


def test_memory_that_is_not_there_yet_is_refused() -> None:
    fd = memory(SIZE, SEALS, allocated=False)
    with pytest.raises(ProtocolError, match="allocated"):
        map_segment(fd, SIZE, writable=True)
    os.close(fd)


def test_huge_pages_are_refused() -> None:
    """There may be none when they are touched: then the toucher is killed."""
    size = 2 << 20
    try:
        fd = memory(size, SEALS, allocated=False, flags=os.MFD_HUGETLB)
    except OSError as error:
        pytest.skip(f"no huge pages here: {error}")
    with pytest.raises(ProtocolError):
        map_segment(fd, size, writable=True)
    os.close(fd)


def test_other_things_than_memory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(SIZE))
    os.mkfifo(tmp_path / "fifo")
    reading, writing = os.pipe()
    found = [
        os.open(file, os.O_RDWR),
        os.open(tmp_path / "fifo", os.O_RDWR),
        os.open(tmp_path, os.O_RDONLY),
        os.open("/dev/zero", os.O_RDWR),
        reading,
        writing,
    ]
    for fd in found:
        with pytest.raises(ProtocolError):
            map_segment(fd, SIZE, writable=False)
        os.close(fd)
    with pytest.raises(ProtocolError):
        map_segment(found[0], SIZE, writable=False)  # closed


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=60),
)
def test_a_ring_within_its_window_gives_back_what_was_put_in(
    size: int, steps: list[tuple[int, bool]]
) -> None:
    """Sender and receiver as PROTOCOL.md has them: the limit is what was consumed
    plus the size, and a piece does not pass the end."""
    ring = Segment(mmap.mmap(-1, size))
    chance = Random(size)
    sent = consumed = 0
    expected, got = b"", b""
    for count, sends in steps:
        if sends:
            count = min(count, consumed + size - sent, ring.room(sent))
            data = chance.randbytes(count)
            ring.part(sent, count)[:] = data
            expected += data
            sent += count
        else:
            count = min(count, sent - consumed, ring.room(consumed))
            got += ring.part(consumed, count)
            consumed += count
    while consumed < sent:
        count = min(sent - consumed, ring.room(consumed))
        got += ring.part(consumed, count)
        consumed += count
    assert got == expected
    ring.close()


@given(st.integers(0, 1 << 40), st.integers(1, 100))
def test_a_part_that_passes_the_end_is_refused(offset: int, count: int) -> None:
    ring = Segment(mmap.mmap(-1, 64))
    if count <= ring.room(offset):
        assert len(ring.part(offset, count)) == count
    else:
        with pytest.raises(ProtocolError):
            ring.part(offset, count)
    ring.close()


def test_it_is_given_back_when_the_last_part_is(read_only: tuple[Segment, int]) -> None:
    made, fd = read_only
    maps = Path("/proc/self/maps")
    theirs = map_segment(fd, SIZE, writable=False)
    mapped = maps.read_text().count("memfd:storagebus-lane")
    part = theirs.part(0, 10)
    theirs.close()
    assert maps.read_text().count("memfd:storagebus-lane") == mapped
    assert bytes(part) == bytes(10)
    del part, theirs
    assert maps.read_text().count("memfd:storagebus-lane") == mapped - 1
    assert made.size == SIZE

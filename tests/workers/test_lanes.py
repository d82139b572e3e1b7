"""What a stream may offer: memory of a size, or the file that a reader reads."""

import os

import pytest

from storagebus.broker.wire import LANE_BYTES_MAX
from storagebus.drivers.contract import FileRange, Reader
from storagebus.workers.lanes import FILE_BYTES_MIN, file_offer, memory_offer

PAGE = os.sysconf("SC_PAGE_SIZE")


class FileOfReader(Reader):
    def __init__(self, found):
        self.found = found

    def file_range(self):
        return self.found


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "object"
    path.write_bytes(os.urandom(FILE_BYTES_MIN + 10))
    fd = os.open(path, os.O_RDWR)
    yield path, fd
    os.close(fd)


@pytest.mark.parametrize(
    ("asked", "size"), [(1, PAGE), (PAGE, PAGE), (PAGE + 1, 2 * PAGE)]
)
def test_memory_is_whole_pages(asked, size):
    offer = memory_offer(asked, writable=True)
    assert (offer.kind, offer.size, offer.writable) == ("memory", size, True)


@pytest.mark.parametrize("asked", [0, -1, LANE_BYTES_MAX + 1, 1 << 50])
def test_no_memory_of_a_size_that_is_none(asked):
    assert memory_offer(asked, writable=False) is None


def test_every_offer_has_a_word_of_its_own():
    tokens = {memory_offer(1, writable=False).token for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {16}


def test_no_token_is_shown_where_an_offer_is_printed():
    offer = memory_offer(1, writable=False)
    assert repr(offer.token) not in repr(offer)


def test_a_file_is_offered_by_a_description_of_its_own(file):
    path, fd = file
    os.lseek(fd, 7, os.SEEK_SET)
    offer = file_offer(FileOfReader(FileRange(fd, 3, 3 + FILE_BYTES_MIN)))
    assert (offer.kind, offer.start, offer.size) == ("file", 3, FILE_BYTES_MIN)
    mine = offer.file.fileno()
    assert os.fstat(mine).st_ino == path.stat().st_ino
    assert os.lseek(mine, 0, os.SEEK_CUR) == 0
    os.lseek(mine, 100, os.SEEK_SET)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 7
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(mine, b"x")


def test_it_is_the_file_that_was_opened_whatever_is_at_its_path_now(file):
    path, fd = file
    inode = path.stat().st_ino
    path.unlink()
    path.write_bytes(b"another")
    offer = file_offer(FileOfReader(FileRange(fd, 0, FILE_BYTES_MIN)))
    assert os.fstat(offer.file.fileno()).st_ino == inode


def test_a_small_part_is_not_worth_it(file):
    assert file_offer(FileOfReader(FileRange(file[1], 0, FILE_BYTES_MIN - 1))) is None


def test_a_reader_without_a_file():
    assert file_offer(FileOfReader(None)) is None
    assert file_offer(Reader()) is None


def test_what_is_no_regular_file_is_not_offered(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    directory = os.open(tmp_path, os.O_RDONLY)
    for fd in (fifo, directory, 999_999):
        assert file_offer(FileOfReader(FileRange(fd, 0, 1 << 20))) is None
    os.close(fifo)
    os.close(directory)

import io
import os
import random
import threading
from pathlib import Path

import pytest

from storagebus.client.transfer import PIECE_BYTES, Summary, Tally
from storagebus.client.transfer_put import (
    local_files,
    put_file,
    put_stream,
    put_tree,
)
from storagebus.drivers import StorageDriver, create
from storagebus.drivers.errors import (
    DataLossError,
    InvalidPathError,
    PathConflictError,
    PathNotFoundError,
    StorageError,
    UnsupportedMethodError,
)

SIZES = [0, 1, 65_536, 65_537, PIECE_BYTES, 3 * PIECE_BYTES + 17]


class Faults:
    """A listener that keeps the faults by name."""

    def __init__(self) -> None:
        self.found: dict[str, StorageError] = {}

    def moved(self, count: int) -> None:
        pass

    def finished(self) -> None:
        pass

    def fault(self, name: str, error: StorageError) -> None:
        self.found[name] = error


@pytest.fixture
def store() -> StorageDriver:
    return create("inmemory")


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_arrives_whole(store: StorageDriver, tmp_path: Path, size: int) -> None:
    local = tmp_path / "file"
    local.write_bytes(content(size))
    tally = Tally()
    put_file(store, str(local), "/a/b", tally)
    assert store.get_content("/a/b") == content(size)
    assert tally.summary().size == size


@pytest.mark.parametrize("size", SIZES)
def test_a_stream_arrives_whole(store: StorageDriver, size: int) -> None:
    put_stream(store, io.BytesIO(content(size)), "/a", Tally())
    assert store.get_content("/a") == content(size)


def test_a_stream_that_breaks_leaves_the_store_as_it_was(store: StorageDriver) -> None:
    class Breaks(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 0:
                raise OSError(5, "Input/output error")
            return super().read(10)

    store.put_content("/a", b"old")
    with pytest.raises(OSError, match="Input/output"):
        put_stream(store, Breaks(content(100)), "/a", Tally())
    assert store.get_content("/a") == b"old"


@pytest.mark.parametrize("size", [1_000, 2 * PIECE_BYTES])
def test_a_file_that_changes_meanwhile_is_not_stored(
    store: StorageDriver, tmp_path: Path, size: int
) -> None:
    local = tmp_path / "file"
    local.write_bytes(content(size))

    class Grows(Tally):
        def moved(self, count: int) -> None:
            super().moved(count)
            with local.open("ab") as file:
                file.write(b"more")

    if size < PIECE_BYTES:
        # A small file is read at once, so its size must lie from the start.
        real = os.fstat

        def lying(fd: int) -> os.stat_result:
            found = list(real(fd))
            found[6] += 1
            return os.stat_result(found)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("os.fstat", lying)
            with pytest.raises(DataLossError, match="changed while it was read"):
                put_file(store, str(local), "/a", Tally())
    else:
        with pytest.raises(DataLossError, match="changed while it was read"):
            put_file(store, str(local), "/a", Grows())
    with pytest.raises(PathNotFoundError):
        store.stat("/a")


def test_a_fifo_does_not_hang(store: StorageDriver, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UnsupportedMethodError, match="not a regular file"):
        put_file(store, str(tmp_path / "fifo"), "/a", Tally())


def make_tree(root: Path) -> dict[str, bytes]:
    """A tree with nothing odd in it; its files by path."""
    chance = random.Random(7)
    files = {}
    for number in range(60):
        depth = chance.randrange(4)
        names = [f"d{chance.randrange(3)}" for _ in range(depth)]
        path = "/".join([*names, f"f{number}"])
        files[path] = chance.randbytes(chance.randrange(3_000))
        local = root / path
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(files[path])
    return files


@pytest.mark.parametrize("prefix", ["/", "/deep/down"])
@pytest.mark.parametrize("jobs", [1, 8])
def test_a_tree_arrives_whole(
    store: StorageDriver, tmp_path: Path, prefix: str, jobs: int
) -> None:
    files = make_tree(tmp_path)
    tally = Tally()
    put_tree(store, str(tmp_path), prefix, tally, jobs=jobs)
    stored = {
        info.path: store.get_content(info.path)
        for info in store.walk("/")
        if not info.is_dir
    }
    top = "" if prefix == "/" else prefix
    assert stored == {f"{top}/{path}": data for path, data in files.items()}
    done = Summary(len(files), sum(map(len, files.values())), 0, 0, 0)
    assert tally.summary() == done
    assert tally.outcome() is None


def make_odd_tree(root: Path) -> None:
    (root / "a b" / "inner").mkdir(parents=True)
    (root / "a b" / "inner" / "f").write_bytes(b"1")
    (root / "empty").mkdir()
    (root / "good").write_bytes(b"2")
    (root / "Zoë").write_bytes(b"3")
    Path(os.fsdecode(os.fsencode(root) + b"/x\xff")).write_bytes(b"4")
    (root / "link").symlink_to("good")
    (root / "up").symlink_to(root)
    os.mkfifo(root / "fifo")


def test_what_cannot_be_stored_is_reported_and_skipped(
    store: StorageDriver, tmp_path: Path
) -> None:
    make_odd_tree(tmp_path)
    faults = Faults()
    tally = Tally(faults)
    put_tree(store, str(tmp_path), "/t", tally)
    assert [info.path for info in store.walk("/")] == ["/t", "/t/good"]
    kinds = {name.rpartition("/")[2]: type(e) for name, e in faults.found.items()}
    assert kinds == {
        "a b": InvalidPathError,
        "Zoë": InvalidPathError,
        "x\\udcff": InvalidPathError,
        "link": UnsupportedMethodError,
        "up": UnsupportedMethodError,
        "fifo": UnsupportedMethodError,
    }
    assert tally.summary() == Summary(1, 1, 6, 0, 1)
    assert type(tally.outcome()) is StorageError


def test_encoded_names_are_stored(store: StorageDriver, tmp_path: Path) -> None:
    make_odd_tree(tmp_path)
    tally = Tally()
    put_tree(store, str(tmp_path), "/t", tally, encode_names=True)
    assert [info.path for info in store.walk("/t") if not info.is_dir] == [
        "/t/Zo_xc3ab_",
        "/t/a_x20_b/inner/f",
        "/t/good",
        "/t/x_xff_",
    ]
    assert type(tally.outcome()) is UnsupportedMethodError  # the links and the fifo


def test_an_unreadable_directory_is_reported(
    store: StorageDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_tree(tmp_path)
    closed = str(tmp_path / "d1")
    real = os.scandir

    def scandir(path: str) -> object:
        if path == closed:
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    faults = Faults()
    tally = Tally(faults)
    put_tree(store, str(tmp_path), "/", tally)
    assert list(faults.found) == [closed]
    expected = [path for path in files if not path.startswith("d1/")]
    assert tally.summary().files == len(expected)


@pytest.mark.parametrize(
    ("root", "prefix", "error"),
    [
        ("missing", "/", PathNotFoundError),
        ("file", "/", PathConflictError),
        (".", "no-slash", InvalidPathError),
        (".", "/a/../b", InvalidPathError),
    ],
)
def test_a_wrong_root_or_prefix_is_an_error_at_once(
    tmp_path: Path, root: str, prefix: str, error: type[StorageError]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(error):
        next(local_files(str(tmp_path / root), prefix, Tally()))


def test_a_file_whose_place_is_taken_fails_alone(
    store: StorageDriver, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"1")
    (tmp_path / "c").write_bytes(b"2")
    store.put_content("/a", b"an object where a directory would be needed")
    faults = Faults()
    tally = Tally(faults)
    put_tree(store, str(tmp_path), "/", tally)
    assert store.get_content("/c") == b"2"
    assert list(faults.found) == [str(tmp_path / "a" / "b")]
    assert isinstance(tally.outcome(), PathConflictError)


def test_a_stopped_transfer_stores_nothing_half(
    store: StorageDriver, tmp_path: Path
) -> None:
    (tmp_path / "big").write_bytes(content(4 * PIECE_BYTES))

    class Stops(Tally):
        def moved(self, count: int) -> None:
            super().moved(count)
            self.stop()

    tally = Stops()
    before = set(threading.enumerate())
    put_tree(store, str(tmp_path), "/", tally)
    assert store.list("/") == []
    assert tally.summary().files == 0
    assert set(threading.enumerate()) <= before

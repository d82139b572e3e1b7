import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storagebus.client.transfer import PIECE_BYTES, Summary, Tally
from storagebus.client.transfer_get import (
    OVERWRITTEN_RETRIES_MAX,
    get_file,
    get_stream,
    get_tree,
    local_names,
)
from storagebus.client.transfer_put import put_tree
from storagebus.drivers import FileInfo, StorageDriver, Walk, create
from storagebus.drivers.errors import (
    DataLossError,
    InvalidPathError,
    PathConflictError,
    PathNotFoundError,
    PreconditionError,
    StorageError,
)

SIZES = [0, 1, 65_537, PIECE_BYTES, 3 * PIECE_BYTES + 17]


class Wrapped:
    """A store with some methods replaced."""

    def __init__(self, store: StorageDriver, **methods: Any) -> None:
        self._store = store
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._store, name)


class Entries(Walk):
    """A walk that returns what it is given."""

    def __init__(self, *paths: str) -> None:
        self._infos = iter([FileInfo(path, 1, None, False) for path in paths])

    def __next__(self) -> FileInfo:
        return next(self._infos)

    def close(self) -> None:
        pass


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


def tree_of(root: Path) -> dict[bytes, bytes]:
    top = os.fsencode(root)
    found = {}
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118 - names are bytes
            with open(path, "rb") as file:  # noqa: PTH123
                found[path[len(top) :]] = file.read()
    return found


@pytest.mark.parametrize("size", SIZES)
def test_an_object_arrives_whole(
    store: StorageDriver, tmp_path: Path, size: int
) -> None:
    store.put_content("/a/b", content(size))
    tally = Tally()
    get_file(store, "/a/b", str(tmp_path / "file"), tally)
    assert tree_of(tmp_path) == {b"/file": content(size)}
    assert tally.summary().size == size


def test_in_a_directory_it_keeps_its_name(store: StorageDriver, tmp_path: Path) -> None:
    store.put_content("/a/b", b"1")
    get_file(store, "/a/b", str(tmp_path), Tally())
    assert tree_of(tmp_path) == {b"/b": b"1"}


def test_a_part_goes_to_a_stream(store: StorageDriver) -> None:
    store.put_content("/a", content(5_000))
    output = io.BytesIO()
    count = get_stream(store, "/a", output, Tally(), offset=17, length=3_000)
    assert count == 3_000
    assert output.getvalue() == content(5_000)[17:3_017]


@pytest.mark.parametrize(
    ("remote", "error"),
    [
        ("/nothing", PathNotFoundError),
        ("/a", PathNotFoundError),  # a directory
        ("bad", InvalidPathError),
        ("/a/..", InvalidPathError),
    ],
)
def test_what_is_no_object_is_an_error(
    store: StorageDriver, tmp_path: Path, remote: str, error: type[StorageError]
) -> None:
    store.put_content("/a/b", b"1")
    with pytest.raises(error):
        get_file(store, remote, str(tmp_path / "file"), Tally())
    assert tree_of(tmp_path) == {}


class Broken(io.BytesIO):
    """A reader that ends too soon, or fails on the way."""

    def __init__(self, data: bytes, error: StorageError | None = None) -> None:
        super().__init__(data)
        self._error = error

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data and self._error is not None:
            raise self._error
        return data


@pytest.mark.parametrize(
    ("reader", "error"),
    [
        (Broken(content(2 * PIECE_BYTES)[:-1]), DataLossError),
        (Broken(content(2 * PIECE_BYTES) + b"!"), DataLossError),
        (Broken(content(PIECE_BYTES), DataLossError("cut off")), DataLossError),
        (Broken(content(PIECE_BYTES), PathNotFoundError()), PathNotFoundError),
    ],
)
def test_a_failed_get_leaves_the_old_file_and_nothing_else(
    store: StorageDriver, tmp_path: Path, reader: Broken, error: type[StorageError]
) -> None:
    store.put_content("/a", content(2 * PIECE_BYTES))
    wrapped: Any = Wrapped(store, reader=lambda *_, **__: reader)
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(error):
        get_file(wrapped, "/a", str(tmp_path / "file"), Tally())
    assert tree_of(tmp_path) == {b"/file": b"old"}


def test_a_file_that_cannot_be_written_is_told_by_its_own_name(
    store: StorageDriver, tmp_path: Path
) -> None:
    store.put_content("/a", b"1")
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError) as caught:
        get_file(store, "/a", str(tmp_path), Tally())
    assert caught.value.filename == str(tmp_path / "a")
    assert tree_of(tmp_path) == {}


def test_nothing_is_seen_under_the_name_before_it_is_complete(
    store: StorageDriver, tmp_path: Path
) -> None:
    store.put_content("/a", content(3 * PIECE_BYTES))
    seen: list[bool] = []

    class Looks(Tally):
        def moved(self, count: int) -> None:
            super().moved(count)
            seen.append((tmp_path / "file").exists())

    get_file(store, "/a", str(tmp_path / "file"), Looks())
    assert seen == [False] * 3
    assert (tmp_path / "file").exists()


def test_an_object_that_is_replaced_before_it_is_read_is_fetched_anew(
    store: StorageDriver, tmp_path: Path
) -> None:
    store.put_content("/a", b"old")
    versions = iter([b"newer", b"newest"])

    def stat(path: str) -> FileInfo:
        info = store.stat(path)
        for version in versions:
            store.put_content("/a", version)
            break
        return info

    wrapped: Any = Wrapped(store, stat=stat)
    get_file(wrapped, "/a", str(tmp_path / "file"), Tally())
    assert tree_of(tmp_path) == {b"/file": b"newest"}


def test_an_object_that_is_replaced_for_ever_is_an_error(
    store: StorageDriver, tmp_path: Path
) -> None:
    store.put_content("/a", b"0")
    stats = 0

    def stat(path: str) -> FileInfo:
        nonlocal stats
        stats += 1
        info = store.stat(path)
        store.put_content("/a", content(stats))
        return info

    wrapped: Any = Wrapped(store, stat=stat)
    with pytest.raises(PreconditionError):
        get_file(wrapped, "/a", str(tmp_path / "file"), Tally())
    assert stats == OVERWRITTEN_RETRIES_MAX + 1
    assert tree_of(tmp_path) == {}


@pytest.mark.parametrize("prefix", ["/", "/a", "/a/b"])
@pytest.mark.parametrize("jobs", [1, 8])
def test_a_tree_arrives_whole(
    store: StorageDriver, tmp_path: Path, prefix: str, jobs: int
) -> None:
    objects = {f"/a/b/c{n % 4}/d{n}": content(n * 100) for n in range(40)}
    objects |= {"/ab": b"not below /a", "/a/e": b"e"}
    for path, data in objects.items():
        store.put_content(path, data)
    tally = Tally()
    destination = tmp_path / "new" / "place"
    get_tree(store, prefix, str(destination), tally, jobs=jobs)
    top = "" if prefix == "/" else prefix
    expected = {
        path[len(top) :].encode(): data
        for path, data in objects.items()
        if path.startswith(top + "/")
    }
    assert tree_of(destination) == expected
    total = sum(map(len, expected.values()))
    assert tally.summary() == Summary(len(expected), total, 0, 0, 0)


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "odd"
    (root / "a b").mkdir(parents=True)
    (root / "a b" / "_x20_").write_bytes(b"1")
    (root / "Zoë").write_bytes(b"2")
    (root / "plain").write_bytes(b"3")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\n")).write_bytes(b"4")
    yield root


def test_encoded_names_come_back(
    store: StorageDriver, tmp_path: Path, odd: Path
) -> None:
    put_tree(store, str(odd), "/t", Tally(), encode_names=True)
    tally = Tally()
    get_tree(store, "/t", str(tmp_path / "back"), tally, decode_names=True)
    assert tally.outcome() is None
    assert tree_of(tmp_path / "back") == tree_of(odd)
    assert len(tree_of(odd)) == 4


def test_names_that_were_not_encoded_are_skipped(
    store: StorageDriver, tmp_path: Path
) -> None:
    for path in ("/t/_x41_", "/t/good", "/t/_x2e2e_/up", "/t/_x612f62_", "/t/_x_"):
        store.put_content(path, b"1")
    faults = Faults()
    get_tree(store, "/t", str(tmp_path / "to"), Tally(faults), decode_names=True)
    assert tree_of(tmp_path) == {b"/to/good": b"1"}
    assert sorted(faults.found) == [
        "/t/_x2e2e_/up",
        "/t/_x41_",
        "/t/_x612f62_",
        "/t/_x_",
    ]


@pytest.mark.parametrize(
    "path",
    ["/t/../../evil", "/t//evil", "evil", "/other/evil", "/t", "/t/./x", "/t/\0"],
)
def test_no_name_from_the_store_leads_outside(
    store: StorageDriver, tmp_path: Path, path: str
) -> None:
    wrapped: Any = Wrapped(store, walk=lambda *_: Entries(path))
    tally = Tally()
    get_tree(wrapped, "/t", str(tmp_path / "to"), tally)
    assert tree_of(tmp_path) == {}
    assert isinstance(tally.outcome(), InvalidPathError)
    with pytest.raises(InvalidPathError):
        local_names(path, "/t", False)


def test_no_link_in_the_destination_leads_outside(
    store: StorageDriver, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"old")
    to = tmp_path / "to"
    to.mkdir()
    (to / "dir").symlink_to(tmp_path / "outside")
    (to / "file").symlink_to(tmp_path / "outside" / "file")
    store.put_content("/t/dir/inner", b"1")
    store.put_content("/t/file", b"2")
    faults = Faults()
    tally = Tally(faults)
    get_tree(store, "/t", str(to), tally)
    assert tree_of(tmp_path / "outside") == {b"/file": b"old"}
    # A link in the place of the file itself is replaced, not followed.
    assert not (to / "file").is_symlink()
    assert (to / "file").read_bytes() == b"2"
    assert list(faults.found) == ["/t/dir/inner"]
    assert isinstance(tally.outcome(), PathConflictError)


def test_a_directory_in_the_place_of_a_file_is_reported(
    store: StorageDriver, tmp_path: Path
) -> None:
    (tmp_path / "to" / "a").mkdir(parents=True)
    store.put_content("/t/a", b"1")
    store.put_content("/t/b", b"2")
    tally = Tally()
    get_tree(store, "/t", str(tmp_path / "to"), tally)
    assert tree_of(tmp_path / "to") == {b"/b": b"2"}
    assert isinstance(tally.outcome(), PathConflictError)


def test_a_missing_directory_makes_nothing(
    store: StorageDriver, tmp_path: Path
) -> None:
    with pytest.raises(PathNotFoundError):
        get_tree(store, "/t", str(tmp_path / "to"), Tally())
    assert not (tmp_path / "to").exists()


def test_a_destination_that_cannot_be_made_is_an_error(
    store: StorageDriver, tmp_path: Path
) -> None:
    store.put_content("/t/a", b"1")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PathConflictError):
        get_tree(store, "/t", str(tmp_path / "file" / "to"), Tally())

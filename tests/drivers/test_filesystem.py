"""The filesystem driver: parameters, the tree on disk, full and read-only disks."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.errors import (
    AccessDeniedError,
    InvalidParameterError,
    InvalidPathError,
    PathConflictError,
    PathNotFoundError,
)
from storagebus.drivers.filesystem import FILE_PATH_BYTES_MAX, FilesystemDriver
from storagebus.drivers.tree import Tree

pytestmark = pytest.mark.usefixtures("descriptors")

Everything = Callable[[], set[str]]
DATA = random.Random(13).randbytes(200_000)


# Parameters


@pytest.mark.parametrize(
    ("given", "count"), [(100, 100), ("64", 64), (24, 25), (0, 25), ("-5", 25)]
)
def test_maxthreads_has_a_floor(root: Path, given: object, count: int) -> None:
    driver = FilesystemDriver(str(root), given)  # type: ignore[arg-type]
    assert driver._permits.count == count
    driver.close()


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"maxthreads": "many"}, "maxthreads"),
        ({"maxthreads": None}, "maxthreads"),
        ({"rootdirectory": ""}, "rootdirectory"),
        ({"rootdirectory": 7}, "rootdirectory"),
        ({"rootdirectory": "/nul\0"}, "rootdirectory"),
        ({"rootdirectori": "/x"}, "rootdirectori"),
    ],
)
def test_a_wrong_parameter_is_named(
    root: Path, parameters: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidParameterError, match=named) as caught:
        create("filesystem", {"rootdirectory": str(root), **parameters})
    assert caught.value.driver == "filesystem"


def test_both_parameters_may_be_shown() -> None:
    assert {"rootdirectory", "maxthreads"} == FilesystemDriver.public_parameters


def test_the_root_is_made_on_demand(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    with create("filesystem", {"rootdirectory": str(deep)}) as driver:
        assert driver.list("/") == []
        assert deep.is_dir()


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_root_that_is_a_file_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidParameterError, match="no directory") as caught:
        create("filesystem", {"rootdirectory": str(tmp_path / "file") + below})
    assert str(tmp_path / "file") in str(caught.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_root_that_may_not_be_made_is_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def deny(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", deny)
    with pytest.raises(AccessDeniedError, match="rootdirectory"):
        create("filesystem", {"rootdirectory": str(tmp_path / "new")})


# The tree on disk


def test_an_object_is_a_plain_file(files: StorageDriver, root: Path) -> None:
    before = os.umask(0o022)
    try:
        files.put_content("/a/b", DATA)
        with files.writer("/a/c") as upload:
            upload.write(DATA[::-1])
            upload.commit()
    finally:
        os.umask(before)
    assert (root / "a/b").read_bytes() == DATA
    assert (root / "a/c").read_bytes() == DATA[::-1]
    assert (root / "a/b").stat().st_mode & 0o777 == 0o644
    assert (root / "a/c").stat().st_mode & 0o777 == 0o644
    assert (root / "a").stat().st_mode & 0o777 == 0o755
    modified = datetime.fromtimestamp((root / "a/b").stat().st_mtime, UTC)
    assert files.stat("/a/b").mod_time == modified


def test_a_tree_that_a_registry_wrote_can_be_served(
    files: StorageDriver, root: Path
) -> None:
    base = root / "docker" / "registry" / "v2"
    digest = "ab" + "cd" * 31
    blob = base / "blobs" / "sha256" / "ab" / digest / "data"
    layers = base / "repositories" / "library" / "alpine" / "_layers" / "sha256"
    uploads = base / "repositories" / "library" / "alpine" / "_uploads"
    for directory in (blob.parent, layers / digest, uploads / "left" / "hashstates"):
        directory.mkdir(parents=True)
    blob.write_bytes(DATA)
    (layers / digest / "link").write_text(f"sha256:{digest}")
    (base / "blobs" / "sha256" / "ef").mkdir()
    (base / "repositories" / "emptied" / "_uploads").mkdir(parents=True)

    prefix = "/docker/registry/v2"
    assert files.list("/") == ["/docker"]
    assert files.list(prefix) == [f"{prefix}/blobs", f"{prefix}/repositories"]
    assert files.list(f"{prefix}/blobs/sha256") == [f"{prefix}/blobs/sha256/ab"]
    assert files.list(f"{prefix}/repositories") == [f"{prefix}/repositories/library"]
    assert files.get_content(f"{prefix}/blobs/sha256/ab/{digest}/data") == DATA
    for path in ("blobs/sha256/ef", "repositories/emptied"):
        for look in (files.stat, files.list, files.walk, files.delete):
            with pytest.raises(PathNotFoundError):
                look(f"{prefix}/{path}")
    found = [info.path for info in files.walk("/") if not info.is_dir]
    assert found == [
        f"{prefix}/blobs/sha256/ab/{digest}/data",
        f"{prefix}/repositories/library/alpine/_layers/sha256/{digest}/link",
    ]
    assert not any("_uploads" in info.path for info in files.walk("/"))
    files.delete(f"{prefix}/repositories/library/alpine")
    assert not (base / "repositories" / "library").exists()
    assert (base / "repositories" / "emptied" / "_uploads").is_dir()


def test_what_the_grammar_does_not_allow_is_not_there(
    files: StorageDriver, root: Path, tmp_path: Path
) -> None:
    files.put_content("/d/a", b"1")
    (tmp_path / "secret").write_bytes(b"not yours")
    for name in ("d/tilde~", "d/sp ace", "d/ümlaut", "d/lost+found"):
        (root / name).touch()
    (root / "d/sub~/x").parent.mkdir()
    (root / "d/sub~/x").touch()
    (root / "d/link").symlink_to(tmp_path / "secret")
    (root / "d/tree").symlink_to(tmp_path)
    os.mkfifo(root / "d/pipe")
    assert files.list("/d") == ["/d/a"]
    assert [info.path for info in files.walk("/")] == ["/d", "/d/a"]
    for path in ("/d/link", "/d/tree", "/d/pipe", "/d/tree/secret"):
        for look in (files.stat, files.get_content, files.reader, files.list):
            with pytest.raises(PathNotFoundError):
                look(path)
        with pytest.raises(PathNotFoundError):
            files.delete(path)
        with pytest.raises(PathNotFoundError):
            files.move(path, "/elsewhere")


def test_writing_never_leaves_the_root(
    files: StorageDriver, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(b"untouched")
    (root / "tree").symlink_to(outside)
    (root / "link").symlink_to(outside / "victim")
    files.put_content("/source", DATA)
    for path in ("/tree/victim", "/tree/new"):
        with pytest.raises(PathConflictError):
            files.put_content(path, DATA)
        with pytest.raises(PathConflictError):
            files.writer(path)
        with pytest.raises(PathConflictError):
            files.move("/source", path)
    # A link is no object, so an object may take its place.
    files.put_content("/link", DATA)
    assert not (root / "link").is_symlink()
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {
        "victim": b"untouched"
    }


def test_staging_that_leads_out_of_the_root_is_refused(
    files: StorageDriver, root: Path, tmp_path: Path
) -> None:
    (root / "~uploads").symlink_to(tmp_path)
    with pytest.raises(PathConflictError):
        files.put_content("/a", DATA)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]


def test_empty_directories_on_disk_give_way(files: StorageDriver, root: Path) -> None:
    for put in (
        lambda path: files.put_content(path, DATA),
        lambda path: (files.put_content("/s", DATA), files.move("/s", path)),
    ):
        (root / "object/x/y").mkdir(parents=True)
        put("/object")
        assert files.get_content("/object") == DATA
        files.delete("/object")


def test_delete_and_move_prune_what_they_empty(
    files: StorageDriver, everything: Everything
) -> None:
    for path in ("/a/b/c/x", "/a/y", "/m/n/z"):
        files.put_content(path, DATA)
    files.delete("/a/b/c/x")
    assert everything() == {"a", "a/y", "m", "m/n", "m/n/z"}
    files.move("/m/n/z", "/a/z")
    files.delete("/a")
    assert everything() == set()


def test_an_object_is_not_moved_onto_a_directory_that_it_lies_in(
    driver: StorageDriver,
) -> None:
    driver.put_content("/a/b/c", DATA)
    for destination in ("/a", "/a/b"):
        with pytest.raises(PathConflictError, match="a directory is at this path"):
            driver.move("/a/b/c", destination)
    assert driver.get_content("/a/b/c") == DATA


def test_two_names_of_one_file_are_moved_like_two_objects(
    files: StorageDriver, root: Path
) -> None:
    """A rename between hard links does nothing; tools that save space make them."""
    files.put_content("/a", DATA)
    (root / "b").hardlink_to(root / "a")
    files.move("/a", "/b")
    assert files.list("/") == ["/b"]
    assert files.get_content("/b") == DATA


def test_paths_are_as_long_as_their_staging_names_allow(files: StorageDriver) -> None:
    path = "".join(f"/{'n' * 249}" for _ in range(FILE_PATH_BYTES_MAX // 250))
    assert len(path) == FILE_PATH_BYTES_MAX
    files.put_content(path, DATA)
    with files.writer(path, append=True) as upload:
        upload.write(b"1")
    with files.writer(path, append=True) as upload:
        upload.commit()
    assert files.get_content(path) == DATA + b"1"
    files.put_content("/s", b"1")
    for refused in (
        lambda: files.put_content(path + "n", b"1"),
        lambda: files.writer(path + "n"),
        lambda: files.move("/s", path + "n"),
        lambda: files.put_content("/" + "n" * 256, b"1"),
    ):
        with pytest.raises(InvalidPathError):
            refused()
    files.delete(path)


def test_every_put_has_an_identity_of_its_own(files: StorageDriver) -> None:
    identities = set()
    for _ in range(200):
        files.put_content("/a", b"same size")
        identities.add(files.stat("/a").identity)
    assert len(identities) == 200


def test_an_error_does_not_tell_where_the_root_is(
    files: StorageDriver, root: Path
) -> None:
    with pytest.raises(PathNotFoundError) as caught:
        files.get_content("/a")
    assert str(root) not in str(caught.value)
    assert caught.value.path == "/a"


def test_a_walk_searches_a_deep_chain_once(
    files: StorageDriver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/d" * 60
    files.put_content(path + "/x", b"1")
    files.put_content(path + "/y", b"2")
    searched: list[str] = []
    plain = Tree.object_below

    def counted(tree: Tree, directory: str) -> str:
        searched.append(directory)
        return plain(tree, directory)

    monkeypatch.setattr(Tree, "object_below", counted)
    found = [info.path for info in files.walk("/")]
    assert found == ["/d" * n for n in range(1, 61)] + [path + "/x", path + "/y"]
    assert searched == ["/d"]

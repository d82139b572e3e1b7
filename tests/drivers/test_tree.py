"""The tree that no link leads out of."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from storagebus.drivers.errors import InvalidStateError
from storagebus.drivers.paths import PATH_BYTES_MAX
from storagebus.drivers.tree import ABSENT, Tree, is_directory, is_object

pytestmark = pytest.mark.usefixtures("descriptors")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the root, with one file."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_bytes(b"not yours")
    return path


def test_no_link_is_followed_wherever_it_stands(
    tree: Tree, root: Path, outside: Path
) -> None:
    (root / "directory").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "a").mkdir()
    (root / "a" / "up").symlink_to("../../outside")
    for path in ("/directory/secret", "/file", "/a/up/secret"):
        with pytest.raises(OSError) as caught:
            tree.open_file(path, os.O_RDONLY)
        assert caught.value.errno in ABSENT
        assert not is_object(tree.status(path))
    for path in ("/directory", "/a/up"):
        with pytest.raises(OSError) as caught:
            tree.directory(path)
        assert caught.value.errno in ABSENT
        with pytest.raises(OSError):
            tree.make_directory(path + "/new", durable=True)
        assert not tree.has_object(path)
        assert not tree.unlink(path + "/secret")
        tree.remove_all(path)
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


def test_a_link_to_the_root_itself_is_followed(root: Path, tmp_path: Path) -> None:
    (root / "x").write_bytes(b"1")
    link = tmp_path / "link"
    link.symlink_to(root)
    tree = Tree(str(link))
    assert is_object(tree.status("/x"))
    tree.close()


def test_names_by_their_kind(tree: Tree, root: Path) -> None:
    (root / "file").touch()
    (root / "directory").mkdir()
    (root / "link").symlink_to("file")
    os.mkfifo(root / "pipe")
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    names = tree.names("/")
    assert names.files == ["file"]
    assert names.directories == ["directory"]
    assert sorted(names.others) == ["link", "pipe", "socket"]


def test_opening_a_pipe_does_not_block(tree: Tree, root: Path) -> None:
    os.mkfifo(root / "pipe")
    source = tree.open_file("/pipe", os.O_RDONLY)
    assert not is_object(os.fstat(source))
    os.close(source)


def test_directories_are_made_down_to_the_last(tree: Tree, root: Path) -> None:
    for durable in (True, False):
        os.close(tree.make_directory(f"/{durable}/b/c", durable=durable))
        assert (root / str(durable) / "b" / "c").is_dir()
    os.close(tree.make_directory("/True/b/c", durable=True))


def test_the_umask_holds(tree: Tree, root: Path) -> None:
    before = os.umask(0o027)
    try:
        os.close(tree.make_directory("/a", durable=False))
        os.close(tree.open_file("/a/f", os.O_CREAT | os.O_WRONLY))
    finally:
        os.umask(before)
    assert (root / "a").stat().st_mode & 0o777 == 0o750
    assert (root / "a" / "f").stat().st_mode & 0o777 == 0o640


def test_an_object_is_found_however_deep(tree: Tree, root: Path) -> None:
    deep = root / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (root / "a" / "empty").mkdir()
    (root / "a" / "b" / "hidden~").touch()
    (root / "a" / "link").symlink_to("/etc/passwd")
    assert not tree.has_object("/a")
    assert not tree.has_object("/none")
    (deep / "x").touch()
    assert tree.has_object("/a")
    assert tree.has_object("/")
    assert tree.object_below("/a") == "/a/b/c/x"
    assert tree.object_below("/a/b/c") == "/a/b/c/x"
    assert tree.object_below("/a/empty") == ""


def test_a_deep_chain_is_followed_by_one_step_each(
    tree: Tree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = root.joinpath(*["d"] * 200)
    deep.mkdir(parents=True)
    (deep / "x").touch()
    opened: list[str] = []
    plain = os.open

    def counted(name: str, *args: Any, **more: Any) -> int:
        opened.append(name)
        return plain(name, *args, **more)

    monkeypatch.setattr(os, "open", counted)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert tree.object_below("/") == "/d" * 200 + "/x"
    assert len(opened) == 200
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_what_lies_deeper_than_the_longest_path_is_no_object(tree: Tree) -> None:
    name = "n" * 250
    here = os.dup(tree.root)
    for _ in range(PATH_BYTES_MAX // len(name) + 2):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert not tree.has_object("/")
    tree.remove_all("/" + name)
    assert tree.status("/" + name) is None


def test_pruning_stops_at_what_is_not_empty(tree: Tree, root: Path) -> None:
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / "a" / "x").touch()
    tree.prune("/a/b/c")
    assert [path.name for path in (root / "a").iterdir()] == ["x"]
    (root / "t" / "u").mkdir(parents=True)
    tree.prune("/t/u", top="/t")
    assert (root / "t").is_dir()
    tree.prune("/")
    tree.prune("/none/at/all")


def test_removing_all_takes_links_and_leaves_what_they_point_to(
    tree: Tree, root: Path, outside: Path
) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "f").touch()
    (root / "a" / "b" / "link").symlink_to(outside)
    (root / "a-").touch()
    tree.remove_all("/a")
    assert [path.name for path in root.iterdir()] == ["a-"]
    assert (outside / "secret").read_bytes() == b"not yours"


def test_removing_directories_leaves_files(tree: Tree, root: Path) -> None:
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / "a" / "d" / "e").mkdir(parents=True)
    (root / "a" / "d" / "f").touch()
    tree.remove_all("/a", files=False)
    assert {str(path.relative_to(root)) for path in root.rglob("*")} == {
        "a",
        "a/d",
        "a/d/f",
    }


def test_the_same_file_is_known_by_its_inode(tree: Tree, root: Path) -> None:
    (root / "a").write_bytes(b"1")
    status = (root / "a").stat()
    assert tree.is_same("/a", status)
    (root / "a").rename(root / "b")
    assert not tree.is_same("/a", status)
    assert tree.is_same("/b", status)
    (root / "a").write_bytes(b"1")
    assert not tree.is_same("/a", status)
    assert not tree.is_same("/a/x", status)


def test_statuses_come_in_order_with_gaps(tree: Tree, root: Path) -> None:
    (root / "a").write_bytes(b"12345")
    (root / "d").mkdir()
    first, second, third = tree.statuses("/", ["a", "none", "d"])
    assert first is not None
    assert first.st_size == 5
    assert second is None
    assert is_directory(third)


def test_a_closed_tree_says_so(root: Path) -> None:
    tree = Tree(str(root))
    tree.close()
    tree.close()
    with pytest.raises(InvalidStateError, match="driver is closed"):
        tree.status("/a")


def test_without_permission_the_error_is_not_absence(
    tree: Tree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that may not be looked at is not called missing."""

    def denied(*args: object, **more: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(PermissionError):
        tree.status("/a/b")
    with pytest.raises(PermissionError):
        tree.has_object("/a/b")

"""Putting files in their place."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from storagebus.drivers import durable
from storagebus.drivers.durable import copy, replace, write_at
from storagebus.drivers.errors import (
    DataLossError,
    PathConflictError,
    UnavailableError,
)
from storagebus.drivers.refusals import PRUNE_RACES_MAX
from storagebus.drivers.tree import Tree

pytestmark = pytest.mark.usefixtures("descriptors")

DATA = random.Random(3).randbytes(300_000)


def staged(root: Path, data: bytes = DATA) -> str:
    (root / "staged").write_bytes(data)
    return "/staged"


def test_a_short_write_is_gone_on_with(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite
    calls = []

    def short(target: int, data: bytes, offset: int) -> int:
        calls.append(offset)
        return write(target, memoryview(data)[:70_000], offset)

    monkeypatch.setattr(os, "pwrite", short)
    with (root / "f").open("wb") as target:
        write_at(target.fileno(), b"x", 0)
        write_at(target.fileno(), DATA, 1)
    assert (root / "f").read_bytes() == b"x" + DATA
    assert calls == [0, 1, 70_001, 140_001, 210_001, 280_001]


@pytest.mark.parametrize("in_system", [True, False])
def test_a_copy_is_the_first_bytes(
    root: Path, monkeypatch: pytest.MonkeyPatch, in_system: bool
) -> None:
    if not in_system:

        def refuse(*_: object) -> int:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "copy_file_range", refuse)
        monkeypatch.setattr(durable, "COPY_BYTES", 64_000)
    (root / "from").write_bytes(DATA)
    with (root / "from").open("rb") as source, (root / "to").open("w+b") as target:
        copy(source.fileno(), target.fileno(), 200_001)
        assert (root / "to").read_bytes() == DATA[:200_001]
        with pytest.raises(DataLossError, match="shorter"):
            copy(source.fileno(), target.fileno(), len(DATA) + 1)


def test_a_full_disk_is_not_taken_for_a_missing_copy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    (root / "from").write_bytes(DATA)
    with (root / "from").open("rb") as source, pytest.raises(OSError) as caught:
        copy(source.fileno(), source.fileno(), 5)
    assert caught.value.errno == errno.ENOSPC


def test_everything_new_is_synced(
    tree: Tree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory of the object, and each that got a new directory."""
    synced: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append("/" + str(path.relative_to(root)).removeprefix("."))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    (root / "a").mkdir()
    replace(tree, staged(root), "/a/b/c/object")
    assert synced == ["/a", "/a/b", "/a/b/c"]
    assert (root / "a/b/c/object").read_bytes() == DATA


def test_a_file_system_that_cannot_sync_directories_will_do(
    tree: Tree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    replace(tree, staged(root), "/a/object")
    assert (root / "a/object").read_bytes() == DATA


def test_empty_directories_give_way(tree: Tree, root: Path) -> None:
    (root / "object" / "x" / "y").mkdir(parents=True)
    (root / "object" / "z").mkdir()
    replace(tree, staged(root), "/object")
    assert (root / "object").read_bytes() == DATA


@pytest.mark.parametrize("in_the_way", ["object/x/file", "object/hidden~"])
def test_directories_with_files_do_not(tree: Tree, root: Path, in_the_way: str) -> None:
    (root / in_the_way).parent.mkdir(parents=True)
    (root / in_the_way).touch()
    with pytest.raises(PathConflictError, match="directory"):
        replace(tree, staged(root), "/object")
    assert (root / in_the_way).is_file()
    assert (root / "staged").read_bytes() == DATA


@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_is_stored_below_what_is_no_directory(
    tree: Tree, root: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "file":
        (root / "object").touch()
    else:
        (root / "object").symlink_to(tmp_path)
    with pytest.raises(PathConflictError, match="an object is where"):
        replace(tree, staged(root), "/object/below")
    assert not (tmp_path / "below").exists()


def test_a_missing_source_changes_nothing(tree: Tree, root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace(tree, "/none", "/a/b/object")
    assert list(root.iterdir()) == []


def test_lost_races_with_pruning_are_retried_within_a_bound(
    tree: Tree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Tree.make_directory
    lost = [3]

    def prune_after(self: Tree, path: str, *, durable: bool) -> int:
        made = make(self, path, durable=durable)
        if lost[0]:
            lost[0] -= 1
            self.prune(path)
        return made

    monkeypatch.setattr(Tree, "make_directory", prune_after)
    replace(tree, staged(root), "/a/b/object")
    assert (root / "a/b/object").read_bytes() == DATA

    lost[0] = 10 * PRUNE_RACES_MAX
    with pytest.raises(UnavailableError, match="pruned") as caught:
        replace(tree, staged(root), "/c/object")
    assert lost[0] == 9 * PRUNE_RACES_MAX
    assert caught.value.temporary
    assert (root / "staged").exists()


def test_a_failure_leaves_no_new_directories(
    tree: Tree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError):
        replace(tree, staged(root), "/a/b/object")
    assert [path.name for path in root.iterdir()] == ["staged"]

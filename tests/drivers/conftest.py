"""Drivers and trees for the tests of the drivers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.commits import Commits
from storagebus.drivers.staging import Uploads
from storagebus.drivers.tree import Tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root directory of a store."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def tree(root: Path) -> Iterator[Tree]:
    tree = Tree(str(root))
    yield tree
    tree.close()


@pytest.fixture
def uploads(tree: Tree) -> Uploads:
    return Uploads(tree, Commits(tree))


@pytest.fixture(params=["inmemory", "filesystem"])
def driver(request: pytest.FixtureRequest, root: Path) -> Iterator[StorageDriver]:
    """Each of the local drivers, for what both must do alike."""
    parameters = {"rootdirectory": str(root)} if request.param == "filesystem" else {}
    with create(request.param, parameters) as driver:
        yield driver


@pytest.fixture
def files(root: Path) -> Iterator[StorageDriver]:
    """The filesystem driver over `root`."""
    with create("filesystem", {"rootdirectory": str(root)}) as driver:
        yield driver


@pytest.fixture
def everything(root: Path) -> Callable[[], set[str]]:
    """All names on disk below `root`, but for ~uploads itself and marks of commits."""

    def names() -> set[str]:
        found = {str(path.relative_to(root)) for path in root.rglob("*")}
        return {name for name in found if "~committed" not in name} - {"~uploads"}

    return names


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Fail a test that leaves descriptors open."""
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a link list
    yield
    after = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert len(after) <= len(before), f"left open: {after - before}"

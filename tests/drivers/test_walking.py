"""The walk that every driver can have, against sorted keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers import FileInfo, StorageDriver, create
from storagebus.drivers.errors import PathNotFoundError, StorageError
from storagebus.drivers.inmemory import InMemoryDriver
from storagebus.drivers.paths import parent, walk_key
from storagebus.drivers.walking import TreeWalk

NAMES = st.sampled_from(["a", "a-", "a.b", "a0", "b", "A"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


def stored(paths: set[str]) -> tuple[StorageDriver, dict[str, bool]]:
    """A driver with objects at those paths that can be, and all entries' walk keys."""
    driver = create("inmemory")
    keys: dict[str, bool] = {}
    for path in sorted(paths):
        above = path
        while (above := parent(above)) != "/":
            if above in keys and not keys[above]:
                break
        else:
            driver.put_content(path, path.encode())
            keys[path] = False
            while (path := parent(path)) != "/":
                keys[path] = True
    return driver, keys


@given(st.sets(PATHS, max_size=12), st.none() | PATHS | PATHS.map(lambda p: p + "/"))
def test_all_entries_after_the_key_in_byte_order(
    paths: set[str], start_after: str | None
) -> None:
    driver, kinds = stored(paths)
    keys = sorted(walk_key(path, is_dir) for path, is_dir in kinds.items())
    expected = [key for key in keys if key > (start_after or "")]
    for walk in (
        TreeWalk(driver, "/", start_after),
        driver._driver.walk("/", start_after),  # type: ignore[attr-defined]
    ):
        assert [walk_key(info.path, info.is_dir) for info in walk] == expected


@given(st.sets(PATHS, min_size=1, max_size=12), st.data())
def test_skip_leaves_out_what_lies_below(paths: set[str], data: st.DataObject) -> None:
    driver, kinds = stored(paths)
    skipped = data.draw(st.sampled_from(sorted(kinds)))
    for walk in (TreeWalk(driver, "/", None), driver.walk("/")):
        found = []
        for info in walk:
            found.append(info.path)
            if info.path == skipped:
                walk.skip()
        left = [path for path in kinds if not path.startswith(skipped + "/")]
        assert found == sorted(left, key=lambda path: walk_key(path, kinds[path]))


def test_a_directory_before_start_after_is_not_listed() -> None:
    driver, _ = stored({"/a/x", "/b/x", "/c/x"})
    listed = []

    class Watched(TreeWalk):
        def children(self, directory: str):  # type: ignore[no-untyped-def]
            listed.append(directory)
            return super().children(directory)

    found = [info.path for info in Watched(driver, "/", "/b/a")]
    assert found == ["/b/x", "/c", "/c/x"]
    assert listed == ["/", "/b", "/c"]


def test_what_vanishes_is_left_out() -> None:
    driver, _ = stored({"/a/x", "/a/y", "/b/x", "/c"})
    walk = TreeWalk(driver, "/", None)
    assert next(walk).path == "/a"
    driver.delete("/a")
    driver.delete("/b")
    assert [info.path for info in walk if not info.is_dir] == ["/c"]


def test_a_missing_directory_is_told_by_the_call() -> None:
    driver, _ = stored({"/a/x"})
    for path in ("/none", "/a/x"):
        with pytest.raises(PathNotFoundError):
            TreeWalk(driver, path, None)


def test_a_closed_walk_ends() -> None:
    driver, _ = stored({"/a", "/b"})
    with TreeWalk(driver, "/", None) as walk:
        assert next(walk) == FileInfo("/a", 2, *_rest(driver, "/a"))
    walk.close()
    assert list(walk) == []


def _rest(driver: StorageDriver, path: str) -> tuple[object, bool, str | None]:
    info = driver.stat(path)
    return info.mod_time, info.is_dir, info.identity


def test_a_listing_that_leads_back_does_not_go_round_for_ever() -> None:
    class Circle(InMemoryDriver):
        def list(self, path: str) -> list[str]:
            return ["/"]

    with pytest.raises(StorageError, match="no child"):
        TreeWalk(Circle(), "/", None)

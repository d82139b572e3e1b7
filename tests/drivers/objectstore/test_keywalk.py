"""Walks along a listing: the order of the contract, skips, starts in the middle."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memorystore import MemoryStore

from storagebus.drivers.errors import PathNotFoundError
from storagebus.drivers.objectstore.keywalk import PASSED_OVER_MAX, KeyWalk
from storagebus.drivers.paths import walk_key

NAMES = st.lists(st.sampled_from(["a", "a-", "a0", "b"]), min_size=1, max_size=3)
TREES = st.lists(NAMES.map("/".join), min_size=1, max_size=12, unique=True)


def keys_of(walk: KeyWalk) -> list[str]:
    return [walk_key(info.path, info.is_dir) for info in walk]


def expected(names: list[str]) -> list[str]:
    """Walk keys of objects and of all directories that they lie in."""
    found = {"/" + name for name in names}
    for name in names:
        parts = name.split("/")
        found |= {"/" + "/".join(parts[:n]) + "/" for n in range(1, len(parts))}
    return sorted(found)


@given(TREES, st.booleans())
def test_all_in_walk_order(names: list[str], lists_from: bool) -> None:
    store = MemoryStore([*names, "~uploads/a/~x", "odd name"], lists_from=lists_from)
    assert keys_of(KeyWalk(store, "/", None)) == expected(names)


@given(TREES, st.booleans(), st.data())
def test_a_walk_goes_on_behind_any_key(
    names: list[str], lists_from: bool, data: st.DataObject
) -> None:
    store = MemoryStore(names, lists_from=lists_from)
    wanted = expected(names)
    after = data.draw(st.sampled_from(wanted))
    assert keys_of(KeyWalk(store, "/", after)) == [key for key in wanted if key > after]


@given(TREES, st.booleans(), st.data())
def test_what_is_skipped_is_left_out(
    names: list[str], lists_from: bool, data: st.DataObject
) -> None:
    store = MemoryStore(names, lists_from=lists_from)
    wanted = expected(names)
    skipped = data.draw(st.sampled_from(wanted))
    got, walk = [], KeyWalk(store, "/", None)
    for info in walk:
        got.append(walk_key(info.path, info.is_dir))
        if got[-1] == skipped:
            walk.skip()  # of a file: does nothing
    left_out = skipped.endswith("/")
    assert got == [
        key for key in wanted
        if not (left_out and key.startswith(skipped) and key != skipped)
    ]  # fmt: skip


def test_a_large_directory_that_is_skipped_is_not_listed_to_its_end() -> None:
    many = [f"a/{number:05}" for number in range(3 * PASSED_OVER_MAX)]
    for lists_from in (True, False):
        store = MemoryStore([*many, "b"], lists_from=lists_from)
        walk = KeyWalk(store, "/", None)
        assert next(walk).path == "/a"
        walk.skip()
        assert [info.path for info in walk] == ["/b"]
        listed = len(store.listed)
        assert listed < 2 * PASSED_OVER_MAX if lists_from else listed == len(many) + 1


def test_a_missing_directory_is_said_at_once() -> None:
    store = MemoryStore(["a/b", "abc"])
    with pytest.raises(PathNotFoundError):
        KeyWalk(store, "/ab", None)
    assert list(KeyWalk(MemoryStore([]), "/", None)) == []
    # A directory whose content all lies before the start is one all the same.
    assert list(KeyWalk(store, "/a", "/z")) == []


def test_a_closed_walk_ends() -> None:
    walk = KeyWalk(MemoryStore(["a", "b", "c"]), "/", None)
    assert [info.path for info in islice(walk, 1)] == ["/a"]
    walk.close()
    assert list(walk) == []

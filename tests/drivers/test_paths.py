"""The path grammar against a dumb twin, and the order of a walk."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.errors import InvalidPathError, StorageError
from storagebus.drivers.paths import (
    PATH_BYTES_MAX,
    below,
    check_children,
    check_path,
    is_component,
    join,
    parent,
    walk_key,
)

LETTERS = "abcXYZ019._-"
NAMES = st.text(LETTERS, min_size=1, max_size=5).filter(lambda n: n not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=5).map(lambda names: "/" + "/".join(names))
NEAR_PATHS = st.text(LETTERS + "/ ~\n\0%üé", max_size=12) | PATHS


def twin(path: str) -> bool:
    """The grammar, said in another way."""
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    first, *names = path.split("/")
    return (
        first == ""
        and bool(names)
        and all(name and not set(name) - allowed for name in names)
        and not {".", ".."} & set(names)
    )


@given(NEAR_PATHS)
def test_the_grammar_agrees_with_its_twin_and_the_registry(path: str) -> None:
    try:
        assert check_path(path) == path
        valid = True
    except InvalidPathError as error:
        assert error.path == path
        assert error.detail
        valid = False
    assert valid == twin(path)
    if valid:
        assert re.fullmatch(r"^(/[A-Za-z0-9._-]+)+$", path)


@given(st.text(LETTERS + "/~\n", max_size=6))
def test_a_component_is_a_path_without_its_slash(name: str) -> None:
    assert is_component(name) == ("/" not in name and twin("/" + name))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "empty"),
        ("/", "the root"),
        ("a/b", "start"),
        ("/a/", "ends"),
        ("//a", "empty component"),
        ("/a/../b", "component .."),
        ("/.", "component ."),
        ("/a b", "may only hold"),
        ("/a\n", "may only hold"),
        (None, "not NoneType"),
        (b"/a", "not bytes"),
    ],
)
def test_a_refusal_says_why(path: object, why: str) -> None:
    with pytest.raises(InvalidPathError, match=why):
        check_path(path)


def test_the_root_is_valid_only_where_it_is_asked_for() -> None:
    assert check_path("/", root=True) == "/"
    with pytest.raises(InvalidPathError):
        check_path("/")


def test_the_longest_path_is_valid_and_one_byte_more_is_not() -> None:
    longest = "/" + "a" * (PATH_BYTES_MAX - 1)
    assert check_path(longest) == longest
    with pytest.raises(InvalidPathError, match=str(PATH_BYTES_MAX)) as caught:
        check_path(longest + "a")
    assert len(caught.value.path or "") < 100


@given(PATHS, NAMES)
def test_join_and_parent_undo_each_other(directory: str, name: str) -> None:
    path = join(directory, name)
    assert parent(path) == directory
    assert below(path, directory)
    assert below(path, "/")
    assert not below(directory, path)
    assert not below(path + "x", path)
    assert parent(join("/", name)) == "/"


@given(st.lists(PATHS))
def test_walk_order_is_the_byte_order_of_the_objects(paths: list[str]) -> None:
    """Sorting by walk key puts each directory right before what lies below it."""
    entries = {(path, False) for path in paths}
    for path in paths:
        while (path := parent(path)) != "/":
            entries.add((path, True))
    ordered = sorted(entries, key=lambda entry: walk_key(*entry))
    files = [path for path, is_dir in ordered if not is_dir]
    assert files == sorted(set(paths), key=str.encode)
    for at, (path, is_dir) in enumerate(ordered):
        if is_dir:
            inside = [entry for entry in ordered if below(entry[0], path)]
            assert ordered[at + 1 : at + 1 + len(inside)] == inside


@pytest.mark.parametrize("name", ["/ab", "/a", "/a/", "/a/b/c", "b", b"/a/b", None, 7])
def test_what_is_no_direct_child_is_no_listing(name: object) -> None:
    with pytest.raises(StorageError, match="no child of it: /a"):
        check_children("/a", ["/a/b", name])
    assert check_children("/a", iter(["/a/b", "/a/c"])) == ["/a/b", "/a/c"]
    assert check_children("/", ["/a"]) == ["/a"]
    with pytest.raises(StorageError):
        check_children("/", "/a")

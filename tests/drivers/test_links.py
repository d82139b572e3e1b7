"""Short texts in links."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storagebus.drivers.errors import UnavailableError
from storagebus.drivers.links import add_link, read_link, set_link, take_link
from storagebus.drivers.refusals import PRUNE_RACES_MAX
from storagebus.drivers.tree import Tree

pytestmark = pytest.mark.usefixtures("descriptors")


def test_a_text_is_added_once_and_set_ever_again(tree: Tree, root: Path) -> None:
    assert read_link(tree, "/d/x") is None
    assert add_link(tree, "/d/x", "one")
    assert not add_link(tree, "/d/x", "two")
    assert read_link(tree, "/d/x") == "one"
    for text in ("three", "four", "../../etc/passwd"):
        set_link(tree, "/d/x", text)
        assert read_link(tree, "/d/x") == text
    assert [path.name for path in (root / "d").iterdir()] == ["x"]


def test_a_text_is_taken_once(tree: Tree, root: Path) -> None:
    assert take_link(tree, "/none/x") is None
    set_link(tree, "/x", "one")
    assert take_link(tree, "/x") == "one"
    assert take_link(tree, "/x") is None
    assert list(root.iterdir()) == []


def test_of_several_takers_one_gets_each_text(tree: Tree, root: Path) -> None:
    """What is added and what is taken is the same, whoever does it when."""

    def work(name: int) -> tuple[Counter[str], Counter[str]]:
        added, taken = Counter[str](), Counter[str]()
        for number in range(100):
            text = f"{name}-{number}"
            if add_link(tree, "/d/x", text):
                added[text] += 1
            got = take_link(tree, "/d/x")
            if got is not None:
                taken[got] += 1
            tree.prune("/d")
        return added, taken

    with ThreadPoolExecutor(6) as pool:
        pairs = list(pool.map(work, range(6)))
    added = sum((pair[0] for pair in pairs), Counter[str]())
    taken = sum((pair[1] for pair in pairs), Counter[str]())
    assert added == taken
    assert set(taken.values()) == {1}
    assert list(root.iterdir()) == []


def test_a_directory_that_is_always_pruned_is_an_error(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Tree.make_directory
    calls = []

    def prune_after(self: Tree, path: str, *, durable: bool) -> int:
        calls.append(path)
        made = make(self, path, durable=durable)
        self.prune(path)
        return made

    monkeypatch.setattr(Tree, "make_directory", prune_after)
    with pytest.raises(UnavailableError, match="pruned"):
        add_link(tree, "/d/x", "text")
    assert len(calls) == PRUNE_RACES_MAX


def test_a_link_in_the_way_is_not_followed(tree: Tree, root: Path) -> None:
    (root / "away").symlink_to("/tmp")
    assert read_link(tree, "/away/x") is None
    assert take_link(tree, "/away/x") is None
    with pytest.raises(OSError):
        add_link(tree, "/away/x", "text")

"""Objects in memory, against a dictionary."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.blocks import Blocks
from storagebus.drivers.errors import PathConflictError, PathNotFoundError
from storagebus.drivers.paths import below, parent
from storagebus.drivers.shelf import Shelf, Stored

NAMES = st.sampled_from(["a", "a-", "a.", "a0", "b"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
STEPS = st.lists(st.tuples(st.sampled_from(["put", "remove", "move"]), PATHS, PATHS))


def stored(text: str) -> Stored:
    return Stored(Blocks((text.encode(),)), datetime.now(UTC), text)


@given(STEPS)
def test_it_holds_what_a_dictionary_holds(steps: list[tuple[str, str, str]]) -> None:
    shelf, twin = Shelf(), dict[str, Stored]()

    def conflicts(path: str) -> bool:
        return any(below(other, path) or below(path, other) for other in twin)

    for number, (step, path, other) in enumerate(steps):
        if step == "put":
            new = stored(str(number))
            if conflicts(path):
                with pytest.raises(PathConflictError):
                    shelf.put(path, new)
            else:
                shelf.put(path, new)
                twin[path] = new
        elif step == "remove":
            gone = [one for one in twin if one == path or below(one, path)]
            assert shelf.remove(path) == bool(gone)
            for one in gone:
                del twin[one]
        elif path in twin and path != other and not conflicts(other):
            shelf.move(path, other)
            twin[other] = twin.pop(path)
        for place in {path, other, parent(path), "/"}:
            assert shelf.find(place) is twin.get(place)
            names = {one[len(place.rstrip("/")) :].split("/")[1] for one in twin
                     if below(one, place)}  # fmt: skip
            expected = sorted(f"{place.rstrip('/')}/{name}" for name in names)
            assert shelf.children(place) == expected
            assert shelf.is_directory(place) == (place == "/" or bool(names))
            later = [one for one in sorted(twin) if one > place]
            assert shelf.after(place) == (later[0] if later else None)


def test_a_move_that_fails_changes_nothing() -> None:
    shelf = Shelf()
    first, second = stored("1"), stored("2")
    shelf.put("/a", first)
    shelf.put("/d/b", second)
    for destination in ("/d", "/d/b/c", "/a/b"):
        with pytest.raises(PathConflictError):
            shelf.move("/a", destination)
    with pytest.raises(PathNotFoundError):
        shelf.move("/none", "/d/b")
    assert shelf.get("/a") is first
    assert shelf.get("/d/b") is second

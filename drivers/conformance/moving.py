"""`move`: one object, atomically as far as readers can tell."""

from __future__ import annotations

from ..errors import PathConflictError, PathNotFoundError
from . import expect
from .case import Case
from .requirement import MIB, Topic

topic = Topic("move")


@topic.requirement()
def an_object(case: Case) -> None:
    """The content is at the destination, the source is gone, neighbours stay."""
    source, destination = case.path("source"), case.path("destination")
    data = case.put(source)
    others = {
        case.path(name): b"" for name in ("source-", "source.d/x", "destination0")
    }
    for path in others:
        others[path] = case.put(path)
    case.driver.move(source, destination)
    case.holds(destination, data)
    case.absent(source)
    for path, content in others.items():
        case.holds(path, content)


@topic.requirement()
def overwrites(case: Case) -> None:
    """A move onto a longer object replaces all of it."""
    source, destination = case.path("source"), case.path("destination")
    data = case.put(source, 32)
    case.put(destination, 64)
    case.driver.move(source, destination)
    case.holds(destination, data)
    case.absent(source)


@topic.requirement()
def missing_source(case: Case) -> None:
    """A missing source is a PathNotFoundError; the destination is untouched."""
    source, destination = case.path("source"), case.path("destination")
    data = case.put(destination)
    expect.raises(PathNotFoundError, case.driver.move, source, destination, path=source)
    case.holds(destination, data)
    expect.raises(PathNotFoundError, case.driver.move, source, case.path("new", "one"))
    case.absent(case.path("new"))


@topic.requirement()
def source_is_prefix_safe(case: Case) -> None:
    """Moving /foo is a PathNotFoundError when only /foobar exists."""
    data = case.put(case.path("foobar"))
    source = case.path("foo")
    expect.raises(
        PathNotFoundError, case.driver.move, source, case.path("to"), path=source
    )
    case.holds(case.path("foobar"), data)


@topic.requirement()
def onto_itself(case: Case) -> None:
    """Moving an object onto itself changes nothing; a missing one is not found."""
    path = case.path("object")
    data = case.put(path)
    case.driver.move(path, path)
    case.holds(path, data)
    missing = case.path("missing")
    expect.raises(PathNotFoundError, case.driver.move, missing, missing, path=missing)


@topic.requirement()
def makes_and_drops_directories(case: Case) -> None:
    """A move makes the directories of its destination and drops empty ones of its
    source."""
    source = case.path("from", "deep", "object")
    destination = case.path("to", "a", "b", "object")
    data = case.put(source)
    case.driver.move(source, destination)
    case.holds(destination, data)
    case.absent(case.path("from"))
    expect.equal(case.driver.list(case.top), [case.path("to")], "list of the top")


@topic.requirement()
def of_a_directory(case: Case) -> None:
    """A directory is no object: moving one is a PathNotFoundError."""
    path = case.path("directory", "object")
    data = case.put(path)
    source = case.path("directory")
    expect.raises(
        PathNotFoundError, case.driver.move, source, case.path("to"), path=source
    )
    expect.raises(PathNotFoundError, case.driver.move, source, source, path=source)
    case.holds(path, data)
    case.absent(case.path("to"))


@topic.requirement()
def from_below_an_object(case: Case) -> None:
    """A source below an object is a PathNotFoundError."""
    path = case.path("object")
    data = case.put(path)
    source = case.path("object", "below")
    expect.raises(
        PathNotFoundError, case.driver.move, source, case.path("to"), path=source
    )
    case.holds(path, data)


@topic.requirement(without=("nested_objects",))
def onto_a_directory(case: Case) -> None:
    """A destination that is a directory is a PathConflictError; all stays in place."""
    source, below = case.path("source"), case.path("directory", "object")
    data, kept = case.put(source), case.put(below)
    expect.raises(PathConflictError, case.driver.move, source, case.path("directory"))
    case.holds(source, data)
    case.holds(below, kept)


@topic.requirement(without=("nested_objects",))
def to_below_an_object(case: Case) -> None:
    """A destination below an object is a PathConflictError, below itself too."""
    source, blocking = case.path("source"), case.path("object")
    data, kept = case.put(source), case.put(blocking)
    for above in (blocking, source):
        for names in (("below",), ("a", "b")):
            destination = "/".join((above, *names))
            expect.raises(PathConflictError, case.driver.move, source, destination)
    case.holds(source, data)
    case.holds(blocking, kept)


@topic.requirement(object_bytes=8 * MIB)
def large_object(case: Case) -> None:
    """An object of 8 MiB is moved whole."""
    source, destination = case.path("source"), case.path("b", "destination")
    data = case.data(8 * MIB)
    case.commit(source, data)
    case.driver.move(source, destination)
    case.holds(destination, data)
    case.absent(source)


@topic.requirement()
def to_and_fro(case: Case) -> None:
    """Objects that trade places through a third keep their contents apart."""
    paths = [case.path("d", name) for name in ("a", "b", "c")]
    first, second = case.put(paths[0], 100), case.put(paths[1], 100)
    for source, destination in ((0, 2), (1, 0), (2, 1)):
        case.driver.move(paths[source], paths[destination])
    case.holds(paths[0], second)
    case.holds(paths[1], first)
    case.absent(paths[2])

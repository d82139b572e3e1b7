"""Directories and what `list` says is in them."""

from __future__ import annotations

from functools import partial

from ..errors import PathNotFoundError
from ..paths import check_path
from . import expect
from .case import Case
from .requirement import Tier, Topic

topic = Topic("list")

MORE_THAN_A_PAGE = 1_005
"""Object stores list a thousand names at a time."""
PUTTING_THREADS = 4


def put_many(case: Case, directory: str, count: int) -> list[str]:
    """Store `count` objects in a directory, some at once; their paths in order."""
    paths = [f"{directory}/name-{number:06}" for number in range(count)]

    def put_some(start: int) -> None:
        for path in paths[start::PUTTING_THREADS]:
            case.driver.put_content(path, path.encode())

    case.together([partial(put_some, at) for at in range(PUTTING_THREADS)])
    return paths


@topic.requirement()
def of_the_root(case: Case) -> None:
    """The root can always be listed: absolute, valid, sorted, each name once."""
    case.put(case.path("object"))
    listed = case.driver.list("/")
    for path in listed:
        check_path(path)
        expect.equal(path.count("/"), 1, f"slashes in {path}, a child of the root")
    expect.equal(listed, sorted(set(listed)), "list('/')")
    expect.that(case.top in listed, f"list('/') lacks {case.top}")


@topic.requirement()
def direct_children(case: Case) -> None:
    """A directory lists its fifty objects, in byte order, as absolute paths."""
    paths = [case.path("parent", f"{number}-object") for number in range(50)]
    for path in paths:
        case.put(path)
    expect.equal(case.driver.list(case.top), [case.path("parent")], "list of the top")
    got = case.driver.list(case.path("parent"))
    expect.equal(got, sorted(paths), "list of the directory")


@topic.requirement()
def directories_once(case: Case) -> None:
    """A directory is listed once, however much lies below it, among the objects."""
    for names in (("b", "1"), ("b", "2"), ("b", "c", "3"), ("b", "c", "4"), ("a",)):
        case.put(case.path(*names))
    top = [case.path("a"), case.path("b")]
    expect.equal(case.driver.list(case.top), top, "list of the top")
    below = [case.path("b", name) for name in ("1", "2", "c")]
    expect.equal(case.driver.list(case.path("b")), below, "list of the directory")


@topic.requirement()
def names_alike(case: Case) -> None:
    """Names that continue another name are listed, each in its own directory only."""
    for names in (
        ("a", "x"),
        ("a-", "y"),
        ("a-b",),
        ("a.b", "z"),
        ("a0",),
        ("aa", "w"),
    ):
        case.put(case.path(*names))
    wanted = [case.path(name) for name in ("a", "a-", "a-b", "a.b", "a0", "aa")]
    expect.equal(case.driver.list(case.top), sorted(wanted), "list of the top")
    for name, child in (("a", "x"), ("a-", "y"), ("a.b", "z"), ("aa", "w")):
        got = case.driver.list(case.path(name))
        expect.equal(got, [case.path(name, child)], f"list of {name}")


@topic.requirement()
def of_nothing(case: Case) -> None:
    """Listing a missing directory is a PathNotFoundError that carries the path."""
    for path in (case.path("missing"), case.path("missing", "too")):
        expect.raises(PathNotFoundError, case.driver.list, path, path=path)


@topic.requirement()
def of_an_object(case: Case) -> None:
    """Listing an object, or below one, is a PathNotFoundError."""
    path = case.path("object")
    case.put(path)
    expect.raises(PathNotFoundError, case.driver.list, path, path=path)
    below = case.path("object", "below")
    expect.raises(PathNotFoundError, case.driver.list, below, path=below)


@topic.requirement()
def is_prefix_safe(case: Case) -> None:
    """Listing /foo finds nothing when only /foobar/x and /foo-/x exist."""
    for name in ("foobar", "foo-", "foo.d"):
        case.put(case.path(name, "x"))
    path = case.path("foo")
    expect.raises(PathNotFoundError, case.driver.list, path, path=path)


@topic.requirement()
def empty_directories_vanish(case: Case) -> None:
    """A directory goes with the last object below it, and its parents with it."""
    case.put(case.path("a", "b", "c", "object"))
    case.put(case.path("other"))
    case.driver.delete(case.path("a", "b", "c", "object"))
    for names in (("a", "b", "c"), ("a", "b"), ("a",)):
        case.absent(case.path(*names))
    expect.equal(case.driver.list(case.top), [case.path("other")], "list of the top")


@topic.requirement()
def follows_changes(case: Case) -> None:
    """A list shows what was put, moved and deleted just before."""
    first, second, third = (case.path("d", name) for name in ("1", "2", "3"))
    case.put(first)
    case.put(second)
    expect.equal(case.driver.list(case.path("d")), [first, second], "after the puts")
    case.driver.move(first, third)
    expect.equal(case.driver.list(case.path("d")), [second, third], "after the move")
    case.driver.delete(second)
    expect.equal(case.driver.list(case.path("d")), [third], "after the delete")


def _many(case: Case, count: int) -> None:
    paths = put_many(case, case.path("many"), count)
    got = case.driver.list(case.path("many"))
    expect.equal(len(got), count, "names in the list")
    expect.that(got == paths, "the list is not the stored names in byte order")
    walked = [info.path for info in case.driver.walk(case.path("many"))]
    expect.equal(len(walked), count, "entries of the walk")
    expect.that(walked == paths, "the walk is not the stored names in byte order")
    case.driver.delete(case.path("many"))
    case.absent(case.path("many"))


@topic.requirement()
def more_than_a_thousand(case: Case) -> None:
    """A directory of 1,005 objects is listed, walked and deleted whole."""
    _many(case, MORE_THAN_A_PAGE)


@topic.requirement(tier=Tier.LONG)
def twenty_thousand(case: Case) -> None:
    """A directory of 20,000 objects is listed, walked and deleted whole."""
    _many(case, 20_000)

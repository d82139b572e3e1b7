"""`delete`: objects, and directories with all below them."""

from __future__ import annotations

from ..errors import PathNotFoundError
from . import expect
from .case import Case
from .requirement import Topic

topic = Topic("delete")


@topic.requirement()
def an_object(case: Case) -> None:
    """A deleted object is gone for every operation."""
    path = case.path("object")
    case.put(path)
    case.driver.delete(path)
    case.absent(path)
    expect.raises(PathNotFoundError, case.driver.reader, path, path=path)


@topic.requirement()
def of_nothing(case: Case) -> None:
    """Deleting what is not there is a PathNotFoundError; a second delete too."""
    path = case.path("object")
    expect.raises(PathNotFoundError, case.driver.delete, path, path=path)
    case.put(path)
    case.driver.delete(path)
    expect.raises(PathNotFoundError, case.driver.delete, path, path=path)
    deep = case.path("no", "such", "object")
    expect.raises(PathNotFoundError, case.driver.delete, deep, path=deep)


@topic.requirement()
def a_directory(case: Case) -> None:
    """Deleting a directory deletes all below it; deleting one object leaves others."""
    names = (("one",), ("two",), ("deep", "three"), ("deep", "er", "four"))
    paths = [case.path("directory", *one) for one in names]
    contents = [case.put(path) for path in paths]
    case.driver.delete(paths[0])
    case.absent(paths[0])
    for path, data in list(zip(paths, contents, strict=True))[1:]:
        case.holds(path, data)
    case.driver.delete(case.path("directory"))
    for path in (*paths, case.path("directory"), case.path("directory", "deep")):
        case.absent(path)


@topic.requirement()
def only_what_lies_below(case: Case) -> None:
    """Objects and directories whose names merely start alike stay."""
    gone = [
        case.path("d", "f"),
        case.path("d", "d", "f"),
        case.path("d", "d", "g", "h"),
    ]
    for path in gone:
        case.put(path)
    names = (
        "f-suffix",
        "fsuffix",
        "f0",
        "f.d/x",
        "d-suffix/f",
        "dsuffix/f",
        "d.f",
        "D/f",
    )
    stays = {case.path("d", name): b"" for name in names}
    for path in stays:
        stays[path] = case.put(path)
    case.driver.delete(case.path("d", "f"))
    case.driver.delete(case.path("d", "d"))
    for path in gone:
        case.absent(path)
    for path, data in stays.items():
        case.holds(path, data, "after the deletes")


@topic.requirement()
def is_prefix_safe(case: Case) -> None:
    """Deleting /foo is a PathNotFoundError when only /foobar and /foo-/x exist."""
    stays = {case.path(name): b"" for name in ("foobar", "foo-/x", "foo.d/x", "foo0")}
    for path in stays:
        stays[path] = case.put(path)
    path = case.path("foo")
    expect.raises(PathNotFoundError, case.driver.delete, path, path=path)
    for path, data in stays.items():
        case.holds(path, data)


@topic.requirement()
def siblings_in_between(case: Case) -> None:
    """A directory is deleted whole though "-" siblings sort among its names."""
    for name in ("a/1", "a-b/1", "a/b/2", "a/b-c", "a/b-c-d/3", "a/b.c/4", "a0"):
        case.put(case.path(name))
    case.driver.delete(case.path("a"))
    got = [info.path for info in case.driver.walk(case.top)]
    wanted = [case.path(name) for name in ("a-b", "a-b/1", "a0")]
    expect.equal(got, wanted, "walk after the delete")


@topic.requirement()
def below_an_object(case: Case) -> None:
    """Deleting a path below an object is a PathNotFoundError."""
    path = case.path("object")
    data = case.put(path)
    below = case.path("object", "below")
    expect.raises(PathNotFoundError, case.driver.delete, below, path=below)
    case.holds(path, data)


@topic.requirement()
def path_may_be_used_again(case: Case) -> None:
    """After a delete, the path may become an object or a directory anew."""
    path = case.path("name")
    for _ in range(2):
        case.holds(path, case.put(path))
        case.driver.delete(path)
        case.holds(case.path("name", "below"), case.put(case.path("name", "below")))
        case.driver.delete(path)
        case.absent(path)

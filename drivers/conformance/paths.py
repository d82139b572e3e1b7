"""Which paths are valid, and what becomes of those that are not."""

from __future__ import annotations

from collections.abc import Callable

from ..contract import StorageDriver
from ..errors import InvalidPathError, PathNotFoundError
from ..paths import PATH_BYTES_MAX
from . import expect
from .case import Case
from .requirement import Check, Requirement, Topic

topic = Topic("paths")

VALID = (
    "/a", "/2", "/aa", "/a.a", "/0-9/abcdefg", "/abcdefg/z.75",
    "/abc/1.2.3.4.5-6_zyx/123.z/4", "/docker/docker-registry", "/123.abc", "/abc.",
    "/.abc", "/a--b", "/a-.b", "/_.abc", "/Docker/docker-registry", "/Abc/Cba",
    "/-", "/_", "/--help", "/-rf", "/...", "/..a", "/a..", "/.a.", "/d/.../e",
    "/CON", "/nul.txt", "/x.tmp", "/.tmp", "/x.part", "/_uploads/u/data",
)  # fmt: skip
INVALID = (
    "", "abc", "123.abc", "a/b", "//bcd", "/abc_123/", "/a//b", "//", "/a/b//",
    "/.", "/..", "/./a", "/../a", "/a/.", "/a/..", "/a/../b", "/a/./b", "../a",
    "/sp ace", "/a/ ", "/new\nline", "/a\n", "/tab\t", "/nul\0", "/\x7f", "/a\\b",
    "/a:b", "/a~b", "/%2e%2e/a", "/a?b", "/a#b", "/a+b", "/a@b", "/*", "/umlaut-\u00fc",
    "/\u2025", "/\uff0e\uff0e/a", "/\udc80",
)  # fmt: skip
NO_PATHS: tuple[object, ...] = (None, 7, b"/bytes", ["/list"], True)

LONG_NAMES = (
    ["n" * 255],
    ["n" * 256],
    ["n" * 1100],
    ["n" * 100] * 12,
    ["n" * 100] * 39,
)
"""Names, or many of them, that some stores cannot hold."""

GOOD = "/conformance-good"
OPERATIONS: dict[str, Callable[[StorageDriver, str], object]] = {
    "get-content": lambda driver, path: driver.get_content(path),
    "put-content": lambda driver, path: driver.put_content(path, b"never stored"),
    "reader": lambda driver, path: driver.reader(path),
    "writer": lambda driver, path: driver.writer(path),
    "stat": lambda driver, path: driver.stat(path),
    "list": lambda driver, path: driver.list(path),
    "move-source": lambda driver, path: driver.move(path, GOOD),
    "move-destination": lambda driver, path: driver.move(GOOD, path),
    "delete": lambda driver, path: driver.delete(path),
    "redirect-url": lambda driver, path: driver.redirect_url(path),
    "walk": lambda driver, path: driver.walk(path),
    "upload-status": lambda driver, path: driver.upload_status(path, "an-id"),
}
TAKE_ROOT = frozenset({"stat", "list", "walk"})


def _refuses(name: str) -> Check:
    call = OPERATIONS[name]

    def check(case: Case) -> None:
        def operation(path: str) -> object:
            return call(case.driver, path)

        operation.__name__ = name
        for path in INVALID if name in TAKE_ROOT else (*INVALID, "/"):
            expect.raises(InvalidPathError, operation, path, path=path)
        for given in NO_PATHS:
            expect.raises(InvalidPathError, operation, given)
        expect.raises(InvalidPathError, operation, "/" + "a" * PATH_BYTES_MAX)

    return check


for _name in OPERATIONS:
    topic.add(
        Requirement(
            f"paths.invalid-for-{_name}",
            f"{_name} refuses every path outside the grammar as an InvalidPathError "
            "that carries the path.",
            _refuses(_name),
        )
    )


@topic.requirement()
def valid(case: Case) -> None:
    """Every kind of path inside the grammar can be stored, read and listed."""
    contents = {case.path(path[1:]): b"" for path in VALID}
    for path in contents:
        contents[path] = case.put(path)
    for path, data in contents.items():
        case.holds(path, data)
        listed = case.driver.list(path.rpartition("/")[0])
        expect.that(path in listed, f"{path} is missing from the list of its directory")


@topic.requirement()
def random_names(case: Case) -> None:
    """Random valid paths can be stored and read."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    contents = {}
    for number in range(30):
        names = [f"d{number}"]
        for _ in range(case.random.randint(1, 4)):
            # The letter in front keeps "." and ".." out.
            length = case.random.randint(0, 12)
            names.append("n" + "".join(case.random.choices(letters, k=length)))
        path = case.path(*names)
        contents[path] = case.put(path)
    for path, data in contents.items():
        case.holds(path, data)


@topic.requirement()
def directly_below_the_root(case: Case) -> None:
    """An object may lie directly below the root."""
    data = case.put(case.top)
    case.holds(case.top, data)
    expect.that(case.top in case.driver.list("/"), f"list('/') lacks {case.top}")


@topic.requirement()
def upper_and_lower_case_differ(case: Case) -> None:
    """Paths that differ in case only are different objects."""
    upper, lower = case.path("Object"), case.path("object")
    data = case.put(upper)
    expect.raises(PathNotFoundError, case.driver.get_content, lower, path=lower)
    other = case.put(lower)
    case.holds(upper, data)
    case.holds(lower, other)


@topic.requirement()
def names_repeat(case: Case) -> None:
    """Directories and objects may repeat the name of their directory."""
    path = case.path("a", "a", "a")
    data = case.put(path)
    case.holds(path, data)
    for directory, child in ((case.top, "a"), (case.path("a"), "a")):
        children = case.driver.list(directory)
        expect.equal(children, [f"{directory}/{child}"], f"list of {directory}")
    expect.that(case.driver.stat(case.path("a")).is_dir, "/a is no directory")
    expect.that(case.driver.stat(case.path("a", "a")).is_dir, "/a/a is no directory")


@topic.requirement()
def deep(case: Case) -> None:
    """An object may lie sixty directories deep, and its directories go with it."""
    path = case.path(*(f"d{number}" for number in range(60)), "object")
    case.holds(path, case.put(path))
    case.driver.delete(path)
    case.absent(case.path("d0"))


@topic.requirement()
def long(case: Case) -> None:
    """A path of 700 bytes works, unless the driver states a lower limit."""
    limit = case.capabilities.path_bytes_max or PATH_BYTES_MAX
    names = ["n" * 96] * 6 + ["object" + "o" * 50]
    path = case.path(*names)
    if len(path) > limit:
        expect.raises(InvalidPathError, case.driver.put_content, path, b"x")
    else:
        case.holds(path, case.put(path))


@topic.requirement()
def too_long_is_typed(case: Case) -> None:
    """Where a name or path is too long for the store, that is an InvalidPathError."""
    for number, names in enumerate(LONG_NAMES):
        path = case.path(f"d{number}", *names)
        data = case.data()
        try:
            case.driver.put_content(path, data)
        except InvalidPathError as error:
            expect.well_formed(error, f"put_content of a path of {len(path)} bytes")
            expect.raises((InvalidPathError, PathNotFoundError), case.driver.stat, path)
        else:
            case.holds(path, data)

"""Walks: order, start_after, skip, and trees that change underneath."""

from __future__ import annotations

from ..contract import Walk
from ..errors import InvalidPathError, PathNotFoundError
from ..paths import below, walk_key
from . import expect
from .case import Case
from .requirement import Topic

topic = Topic("walk")

TREE = (
    "/file1", "/folder1/file1", "/folder1-suffix/file1", "/folder1.file",
    "/folder2/file1", "/folder3/subfolder1/subfolder1/file1",
    "/folder3/subfolder2/subfolder1/file1", "/folder4/file1", "/folder4/file1-suffix",
    "/folder4/file10", "/folder4/sub/file1", "/folder40", "/zz/zz/zz",
)  # fmt: skip
"""Has siblings that continue another's name with "-", "." and "0"."""


def _plant(case: Case) -> list[str]:
    """Store the tree; the walk keys of all that a walk must return, in order."""
    keys = set()
    for path in TREE:
        case.put(case.top + path)
        names = path[1:].split("/")
        keys.add(case.top + path)
        for depth in range(1, len(names)):
            keys.add(case.path(*names[:depth]) + "/")
    return sorted(keys)


def _keys(walk: Walk) -> list[str]:
    return [walk_key(info.path, info.is_dir) for info in walk]


@topic.requirement()
def everything_in_order(case: Case) -> None:
    """A walk returns all objects and directories in byte order, directories compared
    as path + "/"."""
    wanted = _plant(case)
    expect.equal(_keys(case.driver.walk(case.top)), wanted, "walk")


@topic.requirement()
def siblings_with_suffixes(case: Case) -> None:
    """/a-b and /a.b come before /a/c, /a0 after it, and none is left out."""
    for name in ("a/c", "a-b", "a.b", "a0", "a/b-", "a/b/c", "0.1.2", "0.1.20/x"):
        case.put(case.path(name))
    names = (
        "0.1.2", "0.1.20/", "0.1.20/x", "a-b", "a.b", "a/", "a/b-", "a/b/", "a/b/c",
        "a/c", "a0",
    )  # fmt: skip
    wanted = [case.path(name) for name in names]
    expect.equal(_keys(case.driver.walk(case.top)), wanted, "walk")


@topic.requirement()
def from_a_folder(case: Case) -> None:
    """A walk from a folder returns what lies below it, and not the folder."""
    wanted = _plant(case)
    for name in ("folder1", "folder3", "folder4"):
        folder = case.path(name)
        inside = [key for key in wanted if below(key, folder) and key != folder + "/"]
        expect.equal(_keys(case.driver.walk(folder)), inside, f"walk of {folder}")


@topic.requirement()
def from_the_root(case: Case) -> None:
    """A walk of the root reaches what lies below, from start_after on."""
    wanted = _plant(case)
    got = []
    with case.driver.walk("/", start_after=case.top) as walk:
        for info in walk:
            if not below(info.path, case.top):
                break
            got.append(walk_key(info.path, info.is_dir))
    expect.equal(got, wanted, f"walk of / after {case.top}")


@topic.requirement()
def tells_what_stat_tells(case: Case) -> None:
    """The entries of a walk are what stat says of the same paths."""
    _plant(case)
    for info in case.driver.walk(case.top):
        expect.equal(info, case.driver.stat(info.path), f"entry of {info.path}")


def _start_after(case: Case, wanted: list[str], given: str) -> None:
    after = given + "/" if given + "/" in wanted else given
    tail = [key for key in wanted if key > after]
    got = _keys(case.driver.walk(case.top, start_after=given))
    expect.equal(got, tail, f"walk with start_after={given!r}")


@topic.requirement()
def start_after_each_entry(case: Case) -> None:
    """start_after any object or directory returns exactly what comes after it."""
    wanted = _plant(case)
    for key in wanted:
        _start_after(case, wanted, key)
        _start_after(case, wanted, key.removesuffix("/"))


@topic.requirement()
def start_after_what_is_not_there(case: Case) -> None:
    """start_after a path that does not exist, as little as one byte off, is exact."""
    wanted = _plant(case)
    for key in wanted:
        path = key.removesuffix("/")
        for given in (path + "-", path + "0", path + "/-", path + "/zz", path[:-1]):
            _start_after(case, wanted, given)


@topic.requirement()
def start_after_outside(case: Case) -> None:
    """start_after before the root of the walk returns all, after it nothing."""
    wanted = _plant(case)
    for given in ("/", "/-", case.top, case.top + "/", case.top[:-1]):
        expect.equal(
            _keys(case.driver.walk(case.top, start_after=given)),
            wanted,
            f"walk with start_after={given!r}",
        )
    for given in (case.top + "0", case.top + "zzz/a", "/zzz"):
        got = _keys(case.driver.walk(case.top, start_after=given))
        expect.equal(got, [], f"walk with start_after={given!r}")


@topic.requirement()
def start_after_the_last(case: Case) -> None:
    """A walk that is taken up again after its last entry is empty, at every page."""
    wanted = _plant(case)
    got: list[str] = []
    while True:
        with case.driver.walk(case.top, start_after=got[-1] if got else None) as walk:
            page = [
                walk_key(info.path, info.is_dir)
                for _, info in zip(range(4), walk, strict=False)
            ]
        if not page:
            break
        got += page
        expect.that(len(got) <= len(wanted), f"walk by pages goes on after {got[-1]}")
    expect.equal(got, wanted, "walk by pages of four")


@topic.requirement()
def start_after_is_checked(case: Case) -> None:
    """start_after that is no absolute path is an InvalidPathError."""
    case.put(case.path("object"))
    for given in ("relative", 7, "/" + "x" * 5000):
        expect.raises(InvalidPathError, case.driver.walk, case.top, given)


def _walk_skipping(walk: Walk, *skipped: str) -> list[str]:
    keys = []
    for info in walk:
        keys.append(walk_key(info.path, info.is_dir))
        if info.path in skipped:
            walk.skip()
    return keys


@topic.requirement()
def skip_leaves_a_directory_out(case: Case) -> None:
    """skip leaves out what lies below the current directory, and only that."""
    wanted = _plant(case)
    skipped = [case.path("folder1"), case.path("folder3", "subfolder1")]
    left = [
        key
        for key in wanted
        if not any(below(key, path) and key != path + "/" for path in skipped)
    ]
    got = _walk_skipping(case.driver.walk(case.top), *skipped)
    expect.equal(got, left, f"walk that skips {skipped}")
    everything = [key.removesuffix("/") for key in wanted]
    got = _walk_skipping(case.driver.walk(case.top), *everything)
    direct = [key for key in wanted if key[len(case.top) + 1 : -1].count("/") == 0]
    expect.equal(got, direct, "walk that skips every directory")


@topic.requirement()
def skip_on_an_object(case: Case) -> None:
    """skip on an object, or before the first entry, changes nothing."""
    wanted = _plant(case)
    files = [key for key in wanted if not key.endswith("/")]
    walk = case.driver.walk(case.top)
    walk.skip()
    expect.equal(_walk_skipping(walk, *files), wanted, "walk")


@topic.requirement()
def stops_early(case: Case) -> None:
    """A walk may be left at any entry; later walks are not disturbed."""
    wanted = _plant(case)
    for count in (0, 1, 5):
        with case.driver.walk(case.top) as walk:
            got = [next(walk).path for _ in range(count)]
        first = [key.removesuffix("/") for key in wanted[:count]]
        expect.equal(got, first, f"first {count} entries")
    expect.equal(_keys(case.driver.walk(case.top)), wanted, "walk")


@topic.requirement()
def of_nothing(case: Case) -> None:
    """Walking a missing directory, or an object, is a PathNotFoundError at once."""
    case.put(case.path("object"))
    case.put(case.path("foobar", "x"))
    for path in (case.path("missing"), case.path("object"), case.path("foo")):
        for after in (None, path + "/x"):
            expect.raises(PathNotFoundError, case.driver.walk, path, after, path=path)


@topic.requirement()
def vanished_entries(case: Case) -> None:
    """What is deleted during a walk is no error, and nothing else is left out."""
    wanted = _plant(case)
    gone = [case.path("folder1"), case.path("folder4"), case.path("folder40")]
    walk = case.driver.walk(case.top)
    got = [next(walk) for _ in range(2)]
    for path in gone:
        case.driver.delete(path)
    got += list(walk)
    keys = [walk_key(info.path, info.is_dir) for info in got]
    expect.equal(keys, sorted(set(keys)), "order of the walk")
    stays = [
        key
        for key in wanted
        if not any(key.removesuffix("/") == path or below(key, path) for path in gone)
    ]
    expect.equal([key for key in keys if key in stays], stays, "what was not deleted")
    strangers = sorted(set(keys) - set(wanted))
    expect.equal(strangers, [], "entries that were never stored")

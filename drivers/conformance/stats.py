"""What `stat` says."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from ..errors import PathNotFoundError
from . import expect
from .case import Case
from .requirement import KIB, Topic

topic = Topic("stat")

CLOCK_SKEW_MAX = timedelta(minutes=30)
"""Less than the difference between two time zones, more than that of two clocks."""

MOD_TIME_SECONDS_MAX = 5.0
MOD_TIME_PAUSE_SECONDS = 0.02


def _mod_time(case: Case, path: str) -> datetime:
    mod_time = case.driver.stat(path).mod_time
    if not isinstance(mod_time, datetime) or mod_time.tzinfo is None:
        raise expect.Failure(f"mod_time of {path}: expected a zone, got {mod_time!r}")
    return mod_time


@topic.requirement()
def of_an_object(case: Case) -> None:
    """stat of an object gives its path, size and kind."""
    path = case.path("directory", "object")
    case.put(path, 4 * KIB)
    info = case.driver.stat(path)
    got = (info.path, info.size, info.is_dir)
    expect.equal(got, (path, 4 * KIB, False), "path, size, is_dir")


@topic.requirement()
def of_a_directory(case: Case) -> None:
    """stat of a directory gives its path, size 0 and kind, at every depth."""
    case.put(case.path("a", "b", "object"))
    for path in (case.path("a", "b"), case.path("a"), case.top):
        info = case.driver.stat(path)
        got = (info.path, info.size, info.is_dir)
        expect.equal(got, (path, 0, True), "path, size, is_dir")


@topic.requirement()
def of_the_root(case: Case) -> None:
    """stat of the root says a directory, whatever lies in it."""
    for _ in range(2):
        info = case.driver.stat("/")
        got = (info.path, info.size, info.is_dir)
        expect.equal(got, ("/", 0, True), "path, size, is_dir")
        case.put(case.path("object"))


@topic.requirement()
def of_nothing(case: Case) -> None:
    """stat of a missing object or directory is a PathNotFoundError."""
    for path in (case.path("missing"), case.path("missing", "too")):
        expect.raises(PathNotFoundError, case.driver.stat, path, path=path)


@topic.requirement()
def is_prefix_safe(case: Case) -> None:
    """stat of /foo finds nothing when only /foobar, /foo-bar and /foo.d/x exist."""
    for name in ("foobar", "foo-bar", "foo.bar", "foo0"):
        case.put(case.path(name))
    case.put(case.path("foo.d", "x"))
    path = case.path("foo")
    expect.raises(PathNotFoundError, case.driver.stat, path, path=path)


@topic.requirement()
def below_an_object(case: Case) -> None:
    """stat of a path below an object is a PathNotFoundError."""
    case.put(case.path("object"))
    path = case.path("object", "below")
    expect.raises(PathNotFoundError, case.driver.stat, path, path=path)


@topic.requirement()
def size_follows_the_content(case: Case) -> None:
    """The size is that of the last commit, however large the one before."""
    path = case.path("object")
    for size in (100, 10, 1000, 0, 1):
        case.put(path, size)
        expect.equal(case.driver.stat(path).size, size, "size")


@topic.requirement()
def mod_time_is_now(case: Case) -> None:
    """The time of a new object is about now, and has its zone."""
    path = case.path("object")
    case.put(path)
    mod_time = _mod_time(case, path)
    away = abs(datetime.now(UTC) - mod_time)
    expect.that(away < CLOCK_SKEW_MAX, f"mod_time {mod_time} is {away} from now")


@topic.requirement()
def mod_time_moves_on(case: Case) -> None:
    """The time of an object never goes back, and moves on when it is overwritten."""
    path = case.path("object")
    case.put(path)
    first = before = _mod_time(case, path)
    ends = time.monotonic() + MOD_TIME_SECONDS_MAX
    # Stores have clocks of a second or finer: wait no longer than needed.
    while before == first and time.monotonic() < ends:
        time.sleep(MOD_TIME_PAUSE_SECONDS)
        case.put(path)
        now = _mod_time(case, path)
        expect.that(now >= before, f"mod_time went back from {before} to {now}")
        before = now
    expect.that(before > first, f"mod_time stayed {first} through overwrites")

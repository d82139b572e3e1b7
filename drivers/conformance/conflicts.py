"""An object where a directory stands, and a directory where an object does."""

from __future__ import annotations

from ..errors import PathConflictError, PathNotFoundError
from . import expect
from .case import Case
from .requirement import Topic

topic = Topic("conflict")

FLAT = ("nested_objects",)


def _refused(case: Case, path: str) -> None:
    """Neither a put nor an upload gets an object to `path`."""
    data = case.data()
    expect.raises(PathConflictError, case.driver.put_content, path, data)
    # A store may notice when the upload is opened, or at its commit at the latest.
    for append in (False, True):
        expect.raises(PathConflictError, case.commit, path, data, append)


@topic.requirement(without=FLAT)
def object_below_an_object(case: Case) -> None:
    """Where objects cannot nest, an object below one is a PathConflictError."""
    path = case.path("object")
    data = case.put(path)
    for names in (("below",), ("a", "b", "below")):
        below = case.path("object", *names)
        _refused(case, below)
        expect.raises(PathNotFoundError, case.driver.stat, below, path=below)
    case.holds(path, data)


@topic.requirement(without=FLAT)
def object_over_a_directory(case: Case) -> None:
    """Where objects cannot nest, an object over a directory is a PathConflictError."""
    path = case.path("directory", "object")
    data = case.put(path)
    _refused(case, case.path("directory"))
    case.holds(path, data)
    expect.that(case.driver.stat(case.path("directory")).is_dir, "is no directory now")


@topic.requirement(without=FLAT)
def found_at_the_commit(case: Case) -> None:
    """A conflict that arises during an upload is refused; it can still be cancelled."""
    path = case.path("name")
    upload = case.writer(path)
    upload.write(case.data())
    data = case.put(case.path("name", "below"))
    expect.raises(PathConflictError, upload.commit)
    upload.cancel()
    upload.close()
    case.holds(case.path("name", "below"), data)


@topic.requirement()
def reading_below_an_object(case: Case) -> None:
    """Reading below an object is a PathNotFoundError, for every operation."""
    case.put(case.path("object"))
    for names in (("below",), ("a", "b")):
        case.absent(case.path("object", *names))


@topic.requirement(needs=("nested_objects",))
def nested_objects_live_side_by_side(case: Case) -> None:
    """Where objects can nest, the upper and the lower one keep their contents."""
    upper, lower = case.path("object"), case.path("object", "below")
    data = case.put(upper)
    more = case.put(lower)
    expect.content(case.driver.get_content(upper), data, "the upper object")
    expect.content(case.driver.get_content(lower), more, "the lower object")
    expect.that(lower in case.driver.list(upper), "list of the upper lacks the lower")
    case.driver.delete(lower)
    case.holds(upper, data)


@topic.requirement(needs=("nested_objects",))
def nested_objects_are_deleted_together(case: Case) -> None:
    """Where objects can nest, deleting the upper deletes what lies below it."""
    upper, lower = case.path("object"), case.path("object", "below")
    case.put(upper)
    case.put(lower)
    case.driver.delete(upper)
    case.absent(upper)
    case.absent(lower)

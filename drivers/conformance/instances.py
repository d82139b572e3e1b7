"""The driver as a whole: what it says of itself, its instances, its end."""

from __future__ import annotations

import re

from ..contract import API_VERSION, Capabilities
from ..errors import PathNotFoundError
from . import expect
from .case import Case
from .requirement import Topic

topic = Topic("driver")

_VERSION = re.compile(r"(\d+)\.(\d+)")


@topic.requirement()
def says_what_it_is(case: Case) -> None:
    """A driver has a name, an API version "major.minor" of ours, and capabilities."""
    name = case.driver.name
    expect.that(isinstance(name, str) and bool(name), f"name is {name!r}")
    version = _VERSION.fullmatch(case.driver.api_version)
    if version is None:
        raise expect.Failure(f"api_version is {case.driver.api_version!r}")
    expect.equal(version[1], API_VERSION.partition(".")[0], "major of api_version")
    capabilities = case.capabilities
    expect.that(
        isinstance(capabilities, Capabilities),
        f"capabilities is {type(capabilities).__name__}",
    )
    again = Capabilities.from_fields(capabilities.to_fields())
    expect.equal(again, capabilities, "capabilities, rebuilt from their fields")


@topic.requirement(needs=("shared",))
def instances_share_the_store(case: Case) -> None:
    """What one instance puts, moves and deletes, another sees at once."""
    other = case.second()
    path, moved = case.path("object"), case.path("moved")
    data = case.put(path)
    expect.content(other.get_content(path), data, "in the other instance")
    newer = case.data(50)
    other.put_content(path, newer)
    case.holds(path, newer)
    other.move(path, moved)
    case.absent(path)
    case.holds(moved, newer)
    expect.equal(other.list(case.top), [moved], "list in the other instance")
    case.driver.delete(moved)
    expect.raises(PathNotFoundError, other.stat, moved, path=moved)


@topic.requirement(needs=("shared",))
def objects_outlive_the_driver(case: Case) -> None:
    """Objects and kept uploads outlive the instance that wrote them."""
    fresh = case.fresh()
    path, kept = case.path("object"), case.path("kept")
    data, begun = case.data(), case.data()
    fresh.put_content(path, data)
    with fresh.writer(kept) as upload:
        upload.write(begun)
    fresh.close()
    case.holds(path, data)
    upload = case.writer(kept, append=True)
    upload.commit()
    upload.close()
    case.holds(kept, begun)


@topic.requirement()
def closes_twice(case: Case) -> None:
    """Closing a driver twice is harmless, and touches no other instance."""
    path = case.path("object")
    data = case.put(path)
    fresh = case.fresh()
    fresh.close()
    fresh.close()
    with case.fresh() as other:
        expect.that(other.stat("/").is_dir, "stat of the root")
    case.holds(path, data)

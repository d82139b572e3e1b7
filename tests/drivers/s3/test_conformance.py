"""The conformance suite against real servers, by every way of reaching the driver.

SHORT says which pairs of server and way are in the short tier; all are in
`make test-stores-long`, with upstream's sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from s3_bucket import keys, multiparts, parameters_of
from servers.server import Server
from ways import WAYS
from whole_suite import GIB, LONG_TIER, check_large_move, check_suite

from storagebus.drivers import create
from storagebus.drivers.errors import UnsupportedMethodError

ROOT = "conformance"
CUSTOMERS_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
WHOLE = None

SHORT: dict[tuple[str, str], list[str] | None] = {
    ("radosgw", "in-process"): WHOLE,
    ("radosgw", "bus"): ["append", "redirect", "upload"],
    ("seaweedfs", "bus"): WHOLE,
    ("seaweedfs", "child"): ["content", "redirect", "upload"],
    ("swift", "in-process"): ["claim", "delete", "upload"],
    ("old_swift", "in-process"): ["claim", "delete", "identity"],
}
"""What `make test` checks of a server by a way: topics, or all."""

SERVERS = ("radosgw", "seaweedfs", "swift", "old_swift")
PAIRS = [(name, way) for name in SERVERS for way in WAYS]
LATER = [pair for pair in PAIRS if SHORT.get(pair, []) is not WHOLE]
LARGE = [
    ("radosgw", "in-process"),
    ("radosgw", "bus"),
    ("seaweedfs", "in-process"),
    ("seaweedfs", "child"),
    ("swift", "in-process"),
]
"""Where upstream's sizes are tried."""


def pairs(chosen: Iterable[tuple[str, str]]) -> Any:
    """A test for each pair of server and way."""
    cases = [pytest.param(*pair, id="-".join(pair)) for pair in chosen]
    return pytest.mark.parametrize(("name", "way"), cases)


@pytest.fixture
def server(
    name: str, request: pytest.FixtureRequest, buckets: Callable[[Server], Any]
) -> Server:
    """A server by its name, with a bucket."""
    server: Server = request.getfixturevalue(name)
    buckets(server)
    return server


def check(server: Server, way: str, client: Any, **suite: Any) -> None:
    """The suite by a way; nothing may be left in the bucket."""
    with WAYS[way]("s3", parameters_of(server, rootdirectory=ROOT)) as make:
        check_suite(make, **suite)
    assert keys(client, ROOT) == []
    assert multiparts(client, ROOT) == []


@pytest.mark.stores
@pytest.mark.slow
@pytest.mark.timeout(600)
@pairs(SHORT)
def test_short(
    server: Server, name: str, way: str, buckets: Callable[[Server], Any]
) -> None:
    check(server, way, buckets(server), only=SHORT[name, way])


@pytest.mark.stores
@pytest.mark.long
@pytest.mark.timeout(1800)
@pairs(LATER)
def test_whole(server: Server, way: str, buckets: Callable[[Server], Any]) -> None:
    check(server, way, buckets(server))


@pytest.mark.stores
@pytest.mark.long
@pytest.mark.timeout(7200)
@pairs(LARGE)
def test_upstreams_sizes(
    server: Server, way: str, buckets: Callable[[Server], Any]
) -> None:
    """An object of 5 GiB, 20,000 names, 32 uploads of 32 MiB, readers of 128 MiB."""
    check(server, way, buckets(server), only=LONG_TIER, long=True)


@pytest.mark.stores
@pytest.mark.long
@pytest.mark.timeout(7200)
@pairs([("radosgw", "in-process"), ("seaweedfs", "bus")])
def test_a_move_of_6_gib(
    server: Server, way: str, buckets: Callable[[Server], Any]
) -> None:
    """More than one request can copy."""
    with WAYS[way]("s3", parameters_of(server, rootdirectory=ROOT)) as make:
        check_large_move(make, 6 * GIB)
    assert keys(buckets(server), ROOT) == []
    assert multiparts(buckets(server), ROOT) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_with_a_key_of_the_customer(
    seaweedfs: Server, buckets: Callable[[Server], Any]
) -> None:
    client = buckets(seaweedfs)
    given = parameters_of(seaweedfs, rootdirectory=ROOT, ssecustomerkey=CUSTOMERS_KEY)
    check_suite(lambda: create("s3", given))
    assert keys(client, ROOT) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_swift_ignores_a_key_of_the_customer(
    swift: Server, buckets: Callable[[Server], Any]
) -> None:
    client = buckets(swift)
    given = parameters_of(swift, rootdirectory="plain", ssecustomerkey=CUSTOMERS_KEY)
    with create("s3", given) as driver, pytest.raises(UnsupportedMethodError):
        driver.put_content("/x", b"to be encrypted")
    assert keys(client, "plain") == []

"""The conformance suite against Azurite, by every way of reaching the driver.

Twice: with the driver's own version of the interface, which Azurite knows; and with the
SDK's newest, which a server must be told to let pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from azure.storage.blob import ContainerClient
from azure_container import keys, parameters_of
from servers.azurite import Azurite
from ways import WAYS
from whole_suite import GIB, LONG_TIER, check_large_move, check_suite

from storagebus.drivers import create

ROOT = "conformance"
NEWEST = "2026-10-06"
WHOLE = None

VERSIONS: dict[str, dict[str, str]] = {
    "azurite": {},
    "azurite_of_any_version": {"apiversion": NEWEST},
}
"""The servers, and what the driver is told about versions."""

SHORT: dict[tuple[str, str], list[str] | None] = {
    ("azurite", "in-process"): WHOLE,
    ("azurite", "child"): ["content", "redirect", "upload"],
    ("azurite_of_any_version", "bus"): [
        "content",
        "list",
        "move",
        "redirect",
        "upload",
        "writer",
    ],
}
"""What `make test` checks of a server by a way: topics, or all."""

PAIRS = [(name, way) for name in VERSIONS for way in WAYS]
LATER = [pair for pair in PAIRS if SHORT.get(pair, []) is not WHOLE]

Containers = Callable[[Azurite], ContainerClient]


def pairs(chosen: Iterable[tuple[str, str]]) -> Any:
    """A test for each pair of server and way."""
    cases = [pytest.param(*pair, id="-".join(pair)) for pair in chosen]
    return pytest.mark.parametrize(("name", "way"), cases)


@pytest.fixture
def server(
    name: str, request: pytest.FixtureRequest, containers: Containers
) -> Azurite:
    """A server by its name, with a container."""
    server: Azurite = request.getfixturevalue(name)
    containers(server)
    return server


def check(
    server: Azurite, name: str, way: str, client: ContainerClient, **suite: Any
) -> None:
    """The suite by a way; nothing may be left in the container."""
    url = server.service_url
    given = parameters_of(url, rootdirectory=ROOT, **VERSIONS[name])
    with WAYS[way]("azure", given) as make:
        check_suite(make, **suite)
    assert keys(client, ROOT) == []


@pytest.mark.stores
@pytest.mark.slow
@pytest.mark.timeout(600)
@pairs(SHORT)
def test_short(server: Azurite, name: str, way: str, containers: Containers) -> None:
    check(server, name, way, containers(server), only=SHORT[name, way])


@pytest.mark.stores
@pytest.mark.long
@pytest.mark.timeout(1800)
@pairs(LATER)
def test_whole(server: Azurite, name: str, way: str, containers: Containers) -> None:
    check(server, name, way, containers(server))


@pytest.mark.stores
@pytest.mark.long
@pytest.mark.timeout(7200)
@pairs([("azurite", "in-process"), ("azurite", "bus")])
def test_upstreams_sizes(
    server: Azurite, name: str, way: str, containers: Containers
) -> None:
    """An object of 5 GiB, 20,000 names, 32 uploads of 32 MiB, readers of 128 MiB."""
    check(server, name, way, containers(server), only=LONG_TIER, long=True)


@pytest.mark.stores
@pytest.mark.long
@pytest.mark.timeout(7200)
@pairs([("azurite", "in-process")])
def test_a_move_of_6_gib(server: Azurite, way: str, containers: Containers) -> None:
    """More than one request can copy."""
    given = parameters_of(server.service_url, rootdirectory=ROOT)
    with WAYS[way]("azure", given) as make:
        check_large_move(make, 6 * GIB)
    assert keys(containers(server), ROOT) == []


def test_an_unknown_version_is_an_error_that_names_the_parameter(
    azurite: Azurite, containers: Containers
) -> None:
    containers(azurite)
    given = parameters_of(azurite.service_url, apiversion=NEWEST)
    with (
        create("azure", given) as driver,
        pytest.raises(Exception, match="apiversion"),
    ):
        driver.put_content("/a", b"x")

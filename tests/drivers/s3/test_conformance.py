"""The conformance suite against real servers, whole.

SeaweedFS is in the short tier; the slower ones, and the suite's own long tier, are for
`make test-long`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from servers.server import Server

from storagebus.drivers import conformance, create

from .conftest import keys, multiparts, parameters_of

ROOT = "conformance"


def check(server: Server, client: Any, long: bool = False, **more: Any) -> None:
    given = parameters_of(server, rootdirectory=ROOT, **more)
    report = conformance.in_process(lambda: create("s3", given), long=long)
    assert report.ok, str(report)
    assert keys(client, ROOT) == []
    assert multiparts(client, ROOT) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_on_seaweedfs(seaweedfs: Server, client: Any) -> None:
    check(seaweedfs, client)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_on_radosgw(radosgw: Server, buckets: Callable[[Server], Any]) -> None:
    check(radosgw, buckets(radosgw))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_on_swift(swift: Server, buckets: Callable[[Server], Any]) -> None:
    check(swift, buckets(swift))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_large_sizes(seaweedfs: Server, client: Any) -> None:
    check(seaweedfs, client, long=True)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_with_a_key_of_the_customer(seaweedfs: Server, client: Any) -> None:
    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    check(seaweedfs, client, ssecustomerkey=key)

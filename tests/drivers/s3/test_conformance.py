"""The conformance suite against real servers, whole.

SeaweedFS is in the short tier; the slower ones, and the suite's own long tier, are for
`make test-long`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
from servers.server import Server

from storagebus.drivers import conformance, create
from storagebus.drivers.errors import UnavailableError, UnsupportedMethodError

from .conftest import keys, multiparts, parameters_of

ROOT = "conformance"


PATIENCE_S: Mapping[conformance.Tier, float] = {
    conformance.Tier.SHORT: 120.0,
    conformance.Tier.LONG: 3600.0,
}
"""Swift puts a thousand objects in half a minute on a machine that is busy."""


def check(server: Server, client: Any, long: bool = False, **more: Any) -> None:
    given = parameters_of(server, rootdirectory=ROOT, **more)
    session = conformance.Session(
        lambda: create("s3", given),
        seed=secrets.token_hex(8),
        long=long,
        seconds_max=PATIENCE_S,
    )
    results = list(session.run(conformance.REQUIREMENTS))
    failures = [
        f"{result.name}: {result.reason}"
        for result in (*results, session.close())
        if result is not None and result.outcome is conformance.Outcome.FAILED
    ]
    assert not failures, "\n".join(failures)
    assert sum(r.outcome is conformance.Outcome.PASSED for r in results) > 200
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


@pytest.mark.long
@pytest.mark.timeout(300)
def test_swift_ignores_a_key_of_the_customer(
    swift: Server, buckets: Callable[[Server], Any]
) -> None:
    client = buckets(swift)
    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    given = parameters_of(swift, rootdirectory="plain", ssecustomerkey=key)
    with create("s3", given) as driver, pytest.raises(UnsupportedMethodError):
        driver.put_content("/x", b"to be encrypted")
    assert keys(client, "plain") == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_radosgw_killed_in_the_middle(
    radosgw: Server, buckets: Callable[[Server], Any]
) -> None:
    """kill -9 of monitor, OSD and gateway; an upload goes on where it was durable."""
    buckets(radosgw)
    content = Random(17).randbytes(23 << 20)
    given = parameters_of(radosgw, chunksize=5 << 20, maxattempts=1, readtimeout=10)
    with create("s3", given) as driver:
        upload = driver.writer("/x")
        upload.write(content[: 16 << 20])
        radosgw.kill()
        with pytest.raises(UnavailableError):
            upload.write(content[16 << 20 :])
            upload.commit()
        upload.close()
        radosgw.launch()
        with driver.writer("/x", upload_id=upload.upload_id) as again:
            again.write(content[again.size :])
            again.commit()
        assert driver.get_content("/x") == content
        driver.delete("/x")
    assert multiparts(buckets(radosgw), "") == []

"""What a server may answer instead of serving: each becomes its typed error.

The answers are given by the proxy, word for word as AWS documents them; what a real
server can be brought to answer is asked of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from botocore import auth
from s3_bucket import BUCKET, parameters_of
from servers.faultproxy import FaultProxy
from servers.server import Server
from ways import reached

from storagebus.client import Client
from storagebus.drivers import StorageDriver, create, errors

SECRET = Server.secret_key
BODY = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code>'
    "<Message>said the server</Message><RequestId>R1</RequestId></Error>"
)
ANSWERS = [
    (503, "SlowDown", errors.ThrottledError, True),
    (429, "TooManyRequests", errors.ThrottledError, True),
    (503, "ServiceUnavailable", errors.UnavailableError, True),
    (500, "InternalError", errors.UnavailableError, True),
    (403, "AccessDenied", errors.AccessDeniedError, False),
    (403, "InvalidAccessKeyId", errors.AccessDeniedError, False),
    (403, "SignatureDoesNotMatch", errors.AccessDeniedError, False),
    (403, "RequestTimeTooSkewed", errors.AccessDeniedError, False),
    (400, "ExpiredToken", errors.AccessDeniedError, False),
    (404, "NoSuchBucket", errors.UnavailableError, False),
    (301, "PermanentRedirect", errors.InvalidParameterError, False),
    (400, "AuthorizationHeaderMalformed", errors.InvalidParameterError, False),
    (403, "QuotaExceeded", errors.QuotaExceededError, False),
    (507, "InsufficientStorage", errors.StorageFullError, False),
]
DEADLINE_S = 2.0

CALLS: dict[str, Callable[[StorageDriver], object]] = {
    "put_content": lambda driver: driver.put_content("/a", b"x"),
    "get_content": lambda driver: driver.get_content("/a"),
    "list": lambda driver: driver.list("/"),
    "writer": lambda driver: _upload(driver),
}


def _upload(driver: StorageDriver) -> None:
    with driver.writer("/a") as upload:
        upload.write(b"x")
        upload.commit()


@pytest.fixture(scope="module")
def proxy(seaweedfs: Server) -> Iterator[FaultProxy]:
    with closing(FaultProxy(seaweedfs.port)) as harmful:
        yield harmful


@pytest.fixture(scope="module", params=["in-process", "bus"])
def driver(
    proxy: FaultProxy,
    seaweedfs: Server,
    buckets: Callable[[Server], Any],
    request: pytest.FixtureRequest,
) -> Iterator[StorageDriver]:
    """A driver, or a client of a bus, whose way leads through the proxy."""
    buckets(seaweedfs)
    given = parameters_of(
        seaweedfs,
        regionendpoint=proxy.endpoint,
        rootdirectory="answers",
        maxattempts=2,
    )
    with reached(request.param, "s3", given, DEADLINE_S) as made:
        yield made


@pytest.fixture
def stored(seaweedfs: Server, buckets: Callable[[Server], Any]) -> Callable[[], bytes]:
    """What the object holds, as a client sees it that is no part of the driver."""
    client = buckets(seaweedfs)
    client.put_object(Bucket=BUCKET, Key="answers/a", Body=b"old")

    def content() -> bytes:
        body: bytes = client.get_object(Bucket=BUCKET, Key="answers/a")["Body"].read()
        return body

    return content


@pytest.mark.parametrize(
    ("status", "code", "kind", "temporary"), ANSWERS, ids=[a[1] for a in ANSWERS]
)
def test_answers_are_typed(
    driver: StorageDriver,
    proxy: FaultProxy,
    stored: Callable[[], bytes],
    status: int,
    code: str,
    kind: type[errors.StorageError],
    temporary: bool,
) -> None:
    before = stored()
    proxy.set(status=status, body=BODY.format(code).encode())
    # A client of the bus may find its last try cut off by the deadline.
    waits = temporary and isinstance(driver, Client)
    kinds = (kind, errors.DeadlineExceededError) if waits else (kind,)
    for name in ("put_content", "writer") if waits else CALLS:
        with pytest.raises(errors.StorageError) as caught:
            CALLS[name](driver)
        error = caught.value
        assert SECRET not in str(error)
        assert error.temporary is temporary, (name, error)
        assert type(error) in kinds, (name, error)
    proxy.set()
    assert stored() == before


def test_a_clock_that_is_wrong(
    radosgw: Server, buckets: Callable[[Server], Any], monkeypatch: Any
) -> None:
    """Ceph lets signatures in that are no older than 15 minutes."""
    buckets(radosgw)
    now = auth.get_current_datetime
    monkeypatch.setattr(
        auth, "get_current_datetime", lambda **some: now(**some) - timedelta(hours=1)
    )
    with (
        create("s3", parameters_of(radosgw)) as driver,
        pytest.raises(errors.AccessDeniedError, match="clocks differ"),
    ):
        driver.put_content("/a", b"x")


@pytest.mark.stores
@pytest.mark.parametrize("name", ["radosgw", "seaweedfs", "swift", "old_swift"])
def test_wrong_keys_on_real_servers(
    name: str, request: pytest.FixtureRequest, buckets: Callable[[Server], Any]
) -> None:
    server: Server = request.getfixturevalue(name)
    buckets(server)
    for more in ({"secretkey": "wrong" * 8}, {"accesskey": "nobody:atall"}):
        given = parameters_of(server, **more)
        with create("s3", given) as driver:
            for call in CALLS.values():
                with pytest.raises(errors.AccessDeniedError) as caught:
                    call(driver)
                assert given["secretkey"] not in str(caught.value)

"""Buckets on real servers for the tests of the s3 driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from servers.server import Server

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.s3 import S3Driver

BUCKET = "tests"
MIB = 1 << 20

Make = Callable[..., StorageDriver]


def parameters_of(server: Server, **more: Any) -> dict[str, Any]:
    """The driver's parameters for a server's bucket."""
    return {
        "region": "us-east-1",
        "regionendpoint": server.endpoint,
        "forcepathstyle": "true",
        "bucket": BUCKET,
        "accesskey": server.access_key,
        "secretkey": server.secret_key,
        **more,
    }


def plain_client(server: Server) -> Any:
    """A client of the SDK that has nothing to do with the driver."""
    return boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@pytest.fixture(scope="session")
def buckets() -> Callable[[Server], Any]:
    """A plain client of a server, whose bucket is made the first time."""
    clients: dict[str, Any] = {}

    def client_of(server: Server) -> Any:
        if server.endpoint not in clients:
            clients[server.endpoint] = plain_client(server)
            clients[server.endpoint].create_bucket(Bucket=BUCKET)
        return clients[server.endpoint]

    return client_of


@pytest.fixture
def client(seaweedfs: Server, buckets: Callable[[Server], Any]) -> Any:
    """A plain client of SeaweedFS."""
    return buckets(seaweedfs)


@pytest.fixture
def make(seaweedfs: Server, client: Any, request: Any) -> Iterator[Make]:
    """Makes drivers over a folder of this test alone, in a bucket of SeaweedFS."""
    made: list[StorageDriver] = []
    root = f"of/{request.node.name.partition('[')[0]}"

    def make_driver(**more: Any) -> StorageDriver:
        given = parameters_of(seaweedfs, rootdirectory=root)
        made.append(create("s3", given | more))
        return made[-1]

    yield make_driver
    for driver in made:
        driver.close()
    listed = client.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix=root
    )
    for page in listed:
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=entry["Key"])


def inner(driver: StorageDriver) -> S3Driver:
    """The driver behind its checks."""
    found = driver._driver  # type: ignore[attr-defined]
    assert isinstance(found, S3Driver)
    return found


def keys(client: Any, prefix: str = "") -> list[str]:
    """All keys of the bucket below a prefix."""
    listed = client.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix=prefix
    )
    return [entry["Key"] for page in listed for entry in page.get("Contents", [])]


def multiparts(client: Any, prefix: str) -> list[str]:
    """The keys of the multipart uploads that are open below a prefix."""
    reply = client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
    return [upload["Key"] for upload in reply.get("Uploads", [])]

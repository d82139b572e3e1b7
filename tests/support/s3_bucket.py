"""A bucket on a real server: what the driver is told, and a client of boto3."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from servers.server import Server

BUCKET = "tests"


def parameters_of(server: Server, **more: Any) -> dict[str, Any]:
    """The driver's parameters for a server's bucket.

    Args:
        server: the running server.
        more: further parameters, or others in place of these.
    """
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


def empty(client: Any, prefix: str) -> None:
    """Delete all keys below a prefix."""
    for key in keys(client, prefix):
        client.delete_object(Bucket=BUCKET, Key=key)

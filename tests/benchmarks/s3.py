"""The s3 driver against boto3: one server, one part size, as many parts at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from blobs import MIB, PIECE
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from children import Child
from cloud_scene import (
    AT_ONCE,
    LATENCY_MS,
    CloudScene,
    Peer,
    Sizes,
    chosen_figures,
    far_figures,
)
from figures import Figure
from servers.radosgw import RadosGW
from servers.seaweedfs import SeaweedFS
from servers.swift import Swift

PART_BYTES = 10 * MIB
BUCKET = "bench"
SERVERS = {kind.name: kind for kind in (SeaweedFS, RadosGW, Swift)}
SMALL_BUDGET = {"memorybudget": 32 * MIB, "chunksize": 5 * MIB}
DELAY = str(Path(__file__).with_name("delay.py"))


class Boto3(Peer):
    """boto3's managed transfer.

    Args:
        server: the running server.
        endpoint: how to reach it.
    """

    def __init__(self, server: Any, endpoint: str) -> None:
        self.client = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=endpoint,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=64),
        )

    def upload(self, mib: int, parts_at_once: int) -> None:
        file: Any = Endless(mib * MIB)
        self.client.upload_fileobj(file, BUCKET, "t", Config=_transfer(parts_at_once))

    def download(self, parts_at_once: int) -> None:
        file: Any = Nowhere()
        self.client.download_fileobj(BUCKET, "t", file, Config=_transfer(parts_at_once))

    def put(self, number: int, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"s/{number}", Body=content)

    def get(self, number: int) -> bytes:
        reply = self.client.get_object(Bucket=BUCKET, Key=f"s/{number}")
        with reply["Body"] as body:
            content: bytes = body.read()
        return content


class Endless:
    """A readable file of so many bytes, always the same mebibyte."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        # The SDK takes a short read for the end.
        count = self._left if size < 0 else min(self._left, size)
        self._left -= count
        return (PIECE * -(-count // MIB))[:count]


class Nowhere:
    """A writable file that forgets."""

    def write(self, data: bytes) -> int:
        return len(data)

    def seek(self, *_: int) -> int:
        return 0


def measured(sizes: Sizes, kind: str, rows: list[str]) -> Iterator[Figure]:
    """The figures of the driver.

    Args:
        sizes: how much is measured.
        kind: of the server.
        rows: which of "near", "far" and "memory".
    """
    server = SERVERS[kind]().start()
    try:
        near = Boto3(server, server.endpoint)
        near.client.create_bucket(Bucket=BUCKET)
        scene = CloudScene("s3", _given(server, server.endpoint), near, sizes)
        yield from chosen_figures(scene, "boto3", rows, SMALL_BUDGET)
        if "far" in rows:
            yield from _far(server, sizes)
    finally:
        server.remove()


def _far(server: Any, sizes: Sizes) -> Iterator[Figure]:
    with Child(DELAY, server.port, LATENCY_MS) as line:
        endpoint = f"http://127.0.0.1:{line.ready}"
        given, peer = _given(server, endpoint), Boto3(server, endpoint)
        scene = CloudScene("s3", given, peer, sizes)
        yield from far_figures(scene, "boto3")


def _given(server: Any, endpoint: str) -> dict[str, Any]:
    return {
        "region": "us-east-1",
        "bucket": BUCKET,
        "regionendpoint": endpoint,
        "forcepathstyle": True,
        "accesskey": server.access_key,
        "secretkey": server.secret_key,
        "chunksize": PART_BYTES,
        "readchunksize": PART_BYTES,
        "multipartuploadmaxconcurrency": AT_ONCE,
        "readmaxconcurrency": AT_ONCE,
    }


def _transfer(parts_at_once: int) -> TransferConfig:
    return TransferConfig(
        multipart_chunksize=PART_BYTES,
        multipart_threshold=PART_BYTES,
        max_concurrency=parts_at_once,
        use_threads=parts_at_once > 1,
    )

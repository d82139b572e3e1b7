"""The azure driver against the SDK: one server, one block size, as many at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from azure.storage.blob import ContainerClient
from blobs import MIB, PIECE
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
from servers.azurite import ACCOUNT, KEY, Azurite

BLOCK_BYTES = 8 * MIB
CONTAINER = "bench"
SMALL_BUDGET = {"memorybudget": 32 * MIB, "chunksize": 4 * MIB}
DELAY = str(Path(__file__).with_name("delay.py"))


class Sdk(Peer):
    """BlobClient.upload_blob and download_blob.

    Args:
        service_url: of the account.
    """

    def __init__(self, service_url: str) -> None:
        self.container = ContainerClient(
            service_url,
            CONTAINER,
            credential={"account_name": ACCOUNT, "account_key": KEY},
            api_version="2023-11-03",
            max_single_put_size=BLOCK_BYTES,
            max_block_size=BLOCK_BYTES,
            max_single_get_size=BLOCK_BYTES,
            max_chunk_get_size=BLOCK_BYTES,
        )

    def upload(self, mib: int, parts_at_once: int) -> None:
        # Its memory counts as the producer's: the SDK cannot be written to.
        self.container.get_blob_client("t").upload_blob(
            PIECE * mib, overwrite=True, max_concurrency=parts_at_once
        )

    def download(self, parts_at_once: int) -> None:
        blob = self.container.get_blob_client("t")
        for _ in blob.download_blob(max_concurrency=parts_at_once).chunks():
            pass

    def put(self, number: int, content: bytes) -> None:
        self.container.upload_blob(f"s/{number}", content, overwrite=True)

    def get(self, number: int) -> bytes:
        content: bytes = self.container.download_blob(f"s/{number}").readall()
        return content


def measured(sizes: Sizes, rows: list[str]) -> Iterator[Figure]:
    """The figures of the driver.

    Args:
        sizes: how much is measured.
        rows: which of "near", "far" and "memory".
    """
    server = Azurite().start()
    try:
        near = Sdk(server.service_url)
        near.container.create_container()
        scene = CloudScene("azure", _given(server.service_url), near, sizes)
        yield from chosen_figures(scene, "SDK", rows, SMALL_BUDGET)
        if "far" in rows:
            yield from _far(server, sizes)
    finally:
        server.remove()


def _far(server: Azurite, sizes: Sizes) -> Iterator[Figure]:
    with Child(DELAY, server.port, LATENCY_MS) as line:
        url = f"http://127.0.0.1:{line.ready}/{ACCOUNT}"
        scene = CloudScene("azure", _given(url), Sdk(url), sizes)
        yield from far_figures(scene, "SDK")


def _given(service_url: str) -> dict[str, Any]:
    return {
        "accountname": ACCOUNT,
        "accountkey": KEY,
        "container": CONTAINER,
        "serviceurl": service_url,
        "chunksize": BLOCK_BYTES,
        "uploadmaxconcurrency": AT_ONCE,
        "readmaxconcurrency": AT_ONCE,
        "checksum": "never",  # the SDK adds none either
    }

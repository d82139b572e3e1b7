"""Side by side with the stock registry and its own s3 driver, over one tree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from oci import blobs, write_image
from s3_bucket import BUCKET, keys, parameters_of
from servers.install import CannotInstall
from servers.pytest_servers import cannot_install
from servers.registry import Registry, copy_image, delete_image
from servers.server import Server
from ways import WAYS

from storagebus.drivers import FileInfo, StorageDriver

from .conftest import MIB

pytestmark = [pytest.mark.stores, pytest.mark.slow, pytest.mark.timeout(300)]

LAYERS = [12 * MIB + 5, 700_000, 1]
"""The first one is sent in parts, by the registry and by us."""

BLOBS = "/docker/registry/v2/blobs/sha256"

each_server = pytest.mark.parametrize(
    ("name", "way"), [("radosgw", "in-process"), ("seaweedfs", "bus")]
)


@pytest.fixture
def server(
    name: str, request: pytest.FixtureRequest, buckets: Callable[[Server], Any]
) -> Server:
    server: Server = request.getfixturevalue(name)
    buckets(server)
    return server


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image in a folder of its own."""
    folder = tmp_path / "image"
    write_image(folder, LAYERS)
    return folder


@contextmanager
def registry(**storage: dict[str, Any]) -> Iterator[Registry]:
    """A registry while the test needs it."""
    running = Registry(**storage)
    try:
        running.start()
        yield running
    except CannotInstall as error:
        cannot_install("docker-registry", error)
    finally:
        running.remove()


def s3_of(server: Server, root: str) -> dict[str, Any]:
    """The settings of the registry's s3 driver."""
    return {
        "region": "us-east-1",
        "regionendpoint": server.endpoint,
        "bucket": BUCKET,
        "accesskey": server.access_key,
        "secretkey": server.secret_key,
        "secure": False,
        "v4auth": True,
        "chunksize": 5 * MIB,
        "rootdirectory": root,
    }


@contextmanager
def ours(server: Server, way: str, root: str) -> Iterator[StorageDriver]:
    """Our driver over the same tree."""
    given = parameters_of(server, rootdirectory=root, chunksize=5 * MIB)
    with WAYS[way]("s3", given) as make, make() as driver:
        yield driver


def walked(driver: StorageDriver) -> list[FileInfo]:
    with driver.walk("/") as entries:
        return [entry for entry in entries if not entry.is_dir]


@each_server
def test_what_a_registry_wrote_reads_the_same(
    server: Server, way: str, image: Path, buckets: Callable[[Server], Any]
) -> None:
    client, root = buckets(server), "theirs"
    with registry(s3=s3_of(server, f"/{root}")) as stock:
        copy_image(f"oci:{image}:v1", stock.image("some/app:v1"))
        with ours(server, way, root) as driver:
            found = walked(driver)
            assert [f"{root}{info.path}" for info in found] == keys(client, root)
            stored = {}
            for info in found:
                content = driver.get_content(info.path)
                assert len(content) == info.size == driver.stat(info.path).size
                if info.path.startswith(BLOBS):
                    stored[info.path.split("/")[-2]] = content
            assert stored == blobs(image)
            tags = "/docker/registry/v2/repositories/some/app/_manifests/tags"
            assert driver.list(tags) == [f"{tags}/v1"]
            driver.delete("/docker")
    assert keys(client, root) == []


@each_server
def test_a_registry_serves_what_we_wrote(
    server: Server,
    way: str,
    image: Path,
    tmp_path: Path,
    buckets: Callable[[Server], Any],
) -> None:
    """Bit by bit, over presigned redirects; and it deletes from our tree."""
    tree, root = tmp_path / "tree", "ours"
    with registry(filesystem={"rootdirectory": str(tree)}) as stock:
        copy_image(f"oci:{image}:v1", stock.image("some/app:v1"))
    with ours(server, way, root) as driver:
        for path in [path for path in tree.rglob("*") if path.is_file()]:
            with driver.writer(f"/{path.relative_to(tree)}") as upload:
                upload.write(path.read_bytes())
                upload.commit()
        with registry(s3=s3_of(server, f"/{root}")) as stock:
            pulled = tmp_path / "pulled"
            copy_image(stock.image("some/app:v1"), f"oci:{pulled}:v1")
            assert blobs(pulled) == blobs(image)
            delete_image(stock.image("some/app:v1"))
            stock.stop()
            stock.collect_garbage()
        left = [info.path for info in walked(driver) if info.path.startswith(BLOBS)]
        assert left == []
        driver.delete("/docker")
    assert keys(buckets(server), root) == []


@each_server
def test_both_write_to_one_repository(
    server: Server,
    way: str,
    image: Path,
    tmp_path: Path,
    buckets: Callable[[Server], Any],
) -> None:
    """Blobs that our driver moved into place are served by the registry."""
    root = "both"
    with registry(s3=s3_of(server, f"/{root}")) as stock:
        copy_image(f"oci:{image}:v1", stock.image("some/app:v1"))
        with ours(server, way, root) as driver:
            for digest, content in blobs(image).items():
                path = f"{BLOBS}/{digest[:2]}/{digest}/data"
                assert hashlib.sha256(content).hexdigest() == digest
                with driver.writer("/elsewhere") as upload:
                    upload.write(content)
                    upload.commit()
                driver.move("/elsewhere", path)
            pulled = tmp_path / "pulled"
            copy_image(stock.image("some/app:v1"), f"oci:{pulled}:v1")
            assert blobs(pulled) == blobs(image)
            driver.delete("/docker")
    assert keys(buckets(server), root) == []

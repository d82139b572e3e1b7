"""A container image on disk, in the layout of the OCI, with random layers."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from random import Random
from typing import Any

MEDIA = "application/vnd.oci.image"


def write_image(folder: Path, layers: list[int], tag: str = "v1") -> None:
    """Write an image.

    Args:
        folder: where it is made.
        layers: the size of the one file of each layer, in bytes.
        tag: its name in the layout.
    """
    (folder / "blobs/sha256").mkdir(parents=True)
    tars = [_layer(number, size) for number, size in enumerate(layers)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.manifest.v1+json",
        "config": _json(folder, config, f"{MEDIA}.config.v1+json"),
        "layers": [
            _blob(folder, gzip.compress(tar, 1, mtime=0), f"{MEDIA}.layer.v1.tar+gzip")
            for tar in tars
        ],
    }
    named = _json(folder, manifest, f"{MEDIA}.manifest.v1+json")
    named["annotations"] = {"org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "manifests": [named]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def blobs(folder: Path) -> dict[str, bytes]:
    """The blobs of an image, by their digests."""
    return {
        path.name: path.read_bytes() for path in (folder / "blobs/sha256").iterdir()
    }


def _layer(number: int, size: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(f"data/{number}")
        entry.size = size
        tar.addfile(entry, io.BytesIO(Random(number).randbytes(size)))
    return packed.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _blob(folder: Path, data: bytes, media: str) -> dict[str, Any]:
    digest = _digest(data)
    (folder / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(data)
    return {"mediaType": media, "digest": digest, "size": len(data)}


def _json(folder: Path, value: Any, media: str) -> dict[str, Any]:
    return _blob(folder, json.dumps(value).encode(), media)

"""The azure driver against the SDK itself, on Azurite, as ratios within one run.

python tests/benchmarks/azure_blobs.py            256 MiB
python tests/benchmarks/azure_blobs.py --quick    64 MiB

Both sides send blocks of one size, as many at once, and neither adds digests.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from azure.storage.blob import ContainerClient  # noqa: E402
from measure import peak_growth_bytes, ratio, seconds  # noqa: E402
from servers.azurite import ACCOUNT, KEY, Azurite  # noqa: E402

from storagebus.drivers import StorageDriver, create  # noqa: E402

MIB = 1 << 20
PIECE = os.urandom(MIB)
BLOCK_BYTES = 8 * MIB
AT_ONCE = 4
ROUNDS = 3
UPLOADS_COUNT = 32
UPLOADS: dict[str, dict[str, Any]] = {
    "32 uploads, default": {},
    "32 uploads, budget 32 MiB": {"memorybudget": 32 * MIB, "chunksize": 4 * MIB},
}


def upload(driver: StorageDriver, path: str, mebibytes: int) -> None:
    with driver.writer(path) as writer:
        for _ in range(mebibytes):
            writer.write(PIECE)
        writer.commit()


def download(driver: StorageDriver, path: str) -> None:
    with driver.reader(path) as stream:
        while stream.read(MIB):
            pass


def uploads_at_once(driver: StorageDriver, mebibytes: int) -> None:
    threads = [
        threading.Thread(target=upload, args=(driver, f"/many/{number}", mebibytes))
        for number in range(UPLOADS_COUNT)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    size = 64 if arguments.parse_args().quick else 256
    server = Azurite().start()
    try:
        for name, figures in measured(server, size).items():
            print(json.dumps({"what": name, **figures}), flush=True)
    finally:
        server.remove()


def measured(server: Any, size: int) -> dict[str, dict[str, float]]:
    """The figures: seconds of both sides with their ratio, and mebibytes."""
    client = ContainerClient(
        server.service_url,
        "bench",
        credential={"account_name": ACCOUNT, "account_key": KEY},
        api_version="2023-11-03",
        max_single_put_size=BLOCK_BYTES,
        max_block_size=BLOCK_BYTES,
        max_single_get_size=BLOCK_BYTES,
        max_chunk_get_size=BLOCK_BYTES,
    )
    client.create_container()
    given = {
        "accountname": ACCOUNT,
        "accountkey": KEY,
        "container": "bench",
        "serviceurl": server.service_url,
        "chunksize": BLOCK_BYTES,
        "uploadmaxconcurrency": AT_ONCE,
        "readmaxconcurrency": AT_ONCE,
        "checksum": "never",
    }
    blob = client.get_blob_client("sdk")
    found: dict[str, dict[str, float]] = {}

    def put() -> None:
        # Its memory counts as the producer's: the SDK cannot be written to.
        blob.upload_blob(PIECE * size, overwrite=True, max_concurrency=AT_ONCE)

    def get() -> None:
        for _ in blob.download_blob(max_concurrency=AT_ONCE).chunks():
            pass

    with create("azure", given) as driver:
        for name, ours, theirs in (
            (f"up {size} MiB", lambda: upload(driver, "/ours", size), put),
            (f"down {size} MiB", lambda: download(driver, "/ours"), get),
        ):
            mine, yours, rate = ratio(
                lambda ours=ours: seconds(ours),  # type: ignore[misc]
                lambda theirs=theirs: seconds(theirs),  # type: ignore[misc]
                ROUNDS,
            )
            # As a ratio of speeds: above 1 ours is faster.
            found[name] = {"ours_s": mine, "sdk_s": yours, "speed": 1 / rate}
    for name, more in UPLOADS.items():
        with create("azure", given | more) as driver:
            grown = peak_growth_bytes(
                [os.getpid()],
                lambda driver=driver: uploads_at_once(driver, size // 8),  # type: ignore[misc]
            )
            found[name] = {"peak_mib": grown / MIB}
    client.close()
    return found


if __name__ == "__main__":
    main()

"""The s3 driver against boto3 itself, on one server, as ratios within one run.

python tests/benchmarks/s3.py                 1 GiB, SeaweedFS
python tests/benchmarks/s3.py --quick         64 MiB
python tests/benchmarks/s3.py --server radosgw

Both sides send parts of one size, as many at once, and check their bodies the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import boto3  # noqa: E402
from boto3.s3.transfer import TransferConfig  # noqa: E402
from botocore.config import Config  # noqa: E402
from measure import peak_growth_bytes, pss_bytes, ratio, seconds  # noqa: E402
from servers.faultproxy import FaultProxy  # noqa: E402
from servers.radosgw import RadosGW  # noqa: E402
from servers.seaweedfs import SeaweedFS  # noqa: E402
from servers.swift import Swift  # noqa: E402

from storagebus.drivers import StorageDriver, create  # noqa: E402

MIB = 1 << 20
PIECE = os.urandom(MIB)
PART_BYTES = 10 * MIB
AT_ONCE = 4
BUCKET = "bench"
SMALL_COUNT = 1_000
SMALL_THREADS = 16
UPLOADS_COUNT = 32
UPLOADS: dict[str, dict[str, Any]] = {
    "32 uploads, default": {},
    "32 uploads, budget 32 MiB": {"memorybudget": 32 * MIB, "chunksize": 5 * MIB},
}
SERVERS = {kind.name: kind for kind in (SeaweedFS, RadosGW, Swift)}


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


class Bench:
    """Both sides over one bucket.

    Args:
        server: the running server.
        endpoint: how to reach it; through a proxy, perhaps.
    """

    def __init__(self, server: Any, endpoint: str) -> None:
        given = {
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
        self.given = given
        self.driver = create("s3", given)
        self.client = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=endpoint,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=64),
        )
        self.transfer = TransferConfig(
            multipart_chunksize=PART_BYTES,
            multipart_threshold=PART_BYTES,
            max_concurrency=AT_ONCE,
        )

    def upload(self, size: int) -> None:
        with self.driver.writer("/ours") as upload:
            for _ in range(size // MIB):
                upload.write(PIECE)
            upload.commit()

    def their_upload(self, size: int) -> None:
        file: Any = Endless(size)
        self.client.upload_fileobj(file, BUCKET, "theirs", Config=self.transfer)

    def download(self) -> None:
        with self.driver.reader("/ours") as stream:
            while stream.read(MIB):
                pass

    def their_download(self) -> None:
        file: Any = Nowhere()
        self.client.download_fileobj(BUCKET, "theirs", file, Config=self.transfer)

    def small(self, count: int) -> None:
        _at_once(lambda n: self.driver.put_content(f"/small/{n}", PIECE[:4096]), count)
        _at_once(lambda n: self.driver.get_content(f"/small/{n}"), count)

    def their_small(self, count: int) -> None:
        put, get = self.client.put_object, self.client.get_object
        _at_once(
            lambda n: put(Bucket=BUCKET, Key=f"s/{n}", Body=PIECE[:4096]),
            count,
        )
        _at_once(lambda n: get(Bucket=BUCKET, Key=f"s/{n}")["Body"].read(), count)


def _at_once(call: Callable[[int], object], count: int) -> None:
    def work(first: int) -> None:
        for number in range(first, count, SMALL_THREADS):
            call(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(SMALL_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def uploads_at_once(driver: StorageDriver, count: int, size: int) -> None:
    def work(number: int) -> None:
        with driver.writer(f"/at-once/{number}") as upload:
            for _ in range(size // MIB):
                upload.write(PIECE)
            upload.commit()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _peak_of_uploads(given: dict[str, Any], size: int) -> int:
    """Most MiB that a process of its own has while it does nothing but uploads."""
    command = [sys.executable, __file__, "--uploads", json.dumps([given, size])]
    done = subprocess.run(command, check=True, capture_output=True, timeout=900)
    return int(done.stdout)


def _measure_uploads(text: str) -> None:
    given, size = json.loads(text)
    with create("s3", given) as driver:
        driver.put_content("/warm", b"")
        before = pss_bytes([os.getpid()])
        grown = peak_growth_bytes(
            [os.getpid()], lambda: uploads_at_once(driver, UPLOADS_COUNT, size)
        )
    print((before + grown) // MIB)


def main() -> None:
    if sys.argv[1:2] == ["--uploads"]:
        _measure_uploads(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=SERVERS, default="seaweedfs")
    parser.add_argument("--quick", action="store_true", help="smaller data")
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args()
    size = (64 if options.quick else 1024) * MIB
    rounds = 3
    figures: dict[str, Any] = {"server": options.server, "mib": size // MIB}

    def compare(name: str, ours: Any, theirs: Any) -> None:
        mine, yours, relation = ratio(
            lambda: seconds(theirs), lambda: seconds(ours), rounds
        )
        figures[name] = {
            "boto3_s": round(mine, 3),
            "driver_s": round(yours, 3),
            "speed_of_driver_by_boto3": round(relation, 3),
        }
        if not options.json:
            print(name, figures[name], flush=True)

    server = SERVERS[options.server]().start()
    try:
        bench = Bench(server, server.endpoint)
        bench.client.create_bucket(Bucket=BUCKET)
        compare("upload", lambda: bench.upload(size), lambda: bench.their_upload(size))
        compare("download", bench.download, bench.their_download)
        count = 200 if options.quick else SMALL_COUNT
        compare("small", lambda: bench.small(count), lambda: bench.their_small(count))
        proxy = FaultProxy(server.port)
        proxy.set(latency_s=0.02)
        late = Bench(server, f"http://127.0.0.1:{proxy.port}")
        some = 64 * MIB
        compare(
            "upload, 20 ms, 64 MiB",
            lambda: late.upload(some),
            lambda: late.their_upload(some),
        )
        proxy.close()
        each = (10 if options.quick else 100) * MIB
        for name, more in UPLOADS.items():
            figures[name] = {"peak_mib": _peak_of_uploads(bench.given | more, each)}
            if not options.json:
                print(name, figures[name], flush=True)
    finally:
        server.remove()
    if options.json:
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

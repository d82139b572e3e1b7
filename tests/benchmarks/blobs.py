"""Large objects of a benchmark: how one is stored and read."""

from __future__ import annotations

import os

from storagebus.drivers import StorageDriver

MIB = 1 << 20
PIECE = os.urandom(MIB)


def fill(driver: StorageDriver, path: str, mib: int) -> None:
    """Store an object of so many MiB."""
    with driver.writer(path) as upload:
        for _ in range(mib):
            upload.write(PIECE)
        upload.commit()


def drain(driver: StorageDriver, path: str) -> int:
    """Read an object to its end; returns its size in bytes."""
    count = 0
    with driver.reader(path) as stream:
        while piece := stream.read(MIB):
            count += len(piece)
    return count

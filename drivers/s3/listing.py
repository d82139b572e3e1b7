"""What a directory holds, on servers that list directories in which nothing lies."""

from __future__ import annotations

from collections.abc import Callable

from ..contract import FileInfo
from ..objectstore.listing import children, exists_below
from .bucket import Bucket

LOOK_SECONDS_MAX = 300.0


def children_of(
    bucket: Bucket, path: str, *, sure: Callable[[], bool]
) -> list[FileInfo]:
    """What a directory holds, in no order; empty when there is no directory.

    Args:
        bucket: where it is.
        path: the directory.
        sure: asked, when there are directories, whether the server lists only those
            that an object lies in. Servers that keep a tree go on listing empty ones
            for a while, so each is looked into.
    """
    found = children(bucket, path)
    directories = [info.path for info in found if info.is_dir]
    if not directories or sure():
        return found
    looks = {
        directory: bucket.clients.submit(exists_below, bucket, directory)
        for directory in directories
    }
    return [
        info
        for info in found
        if not info.is_dir or looks[info.path].result(LOOK_SECONDS_MAX)
    ]

"""Listings in pages, and what a directory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..contract import FileInfo
from ..errors import PathNotFoundError, UnavailableError
from ..paths import is_component, join
from .bucket import UPLOADS, Bucket, unquoted

PAGE_KEYS_MAX = 1_000
LOOK_SECONDS_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    Attributes:
        objects: what the server says of each object, under the SDK's names.
        prefixes: keys of directories, with their last slash.
    """

    objects: list[dict[str, Any]]
    prefixes: list[str]


def pages(
    bucket: Bucket,
    prefix: str,
    path: str | None,
    *,
    start_after: str = "",
    delimiter: str = "",
    keys_max: int = PAGE_KEYS_MAX,
) -> Iterator[Page]:
    """All pages of the keys that begin with `prefix`.

    Args:
        bucket: what to list.
        prefix: the beginning of the keys.
        path: the directory concerned, for errors.
        start_after: only keys after this one.
        delimiter: "/" rolls up what lies below a directory.
        keys_max: keys a page.
    """
    arguments: dict[str, Any] = {"Prefix": prefix, "MaxKeys": keys_max}
    if start_after:
        arguments["StartAfter"] = start_after
    if delimiter:
        arguments["Delimiter"] = delimiter
    before = None
    while True:
        reply = bucket.call("list_objects_v2", path, **arguments)
        yield Page(
            reply.get("Contents", []),
            [rolled["Prefix"] for rolled in reply.get("CommonPrefixes", ())],
        )
        token = reply.get("NextContinuationToken")
        if not reply.get("IsTruncated") or not token:
            return
        if token == before:
            raise UnavailableError("the server's listing does not go on", path=path)
        before = arguments["ContinuationToken"] = token


def keys_below(
    bucket: Bucket, prefix: str, path: str | None, start_after: str = ""
) -> Iterator[str]:
    """The keys that begin with `prefix`."""
    for page in pages(bucket, prefix, path, start_after=start_after):
        for found in page.objects:
            yield found["Key"]


def exists_below(bucket: Bucket, path: str) -> bool:
    """Whether any object lies below a directory."""
    prefix = bucket.directory_key(path)
    listing = pages(bucket, prefix, path, keys_max=2)
    for page in listing:
        for found in page.objects:
            # A console may have made an object for the directory itself, and below
            # the root there are the records of uploads.
            if found["Key"] != prefix and not found["Key"].startswith(bucket.uploads):
                return True
    return False


def children(bucket: Bucket, path: str, *, sure: Callable[[], bool]) -> list[FileInfo]:
    """What a directory holds, in no order; empty when there is no directory.

    Args:
        bucket: where it is.
        path: the directory.
        sure: asked, when there are directories, whether the server lists only those
            that an object lies in. Servers that keep a tree go on listing empty ones
            for a while, so each is looked into.
    """
    prefix = bucket.directory_key(path)
    found = []
    directories: list[str] = []
    for page in pages(bucket, prefix, path, delimiter="/"):
        for entry in page.objects:
            name = entry["Key"][len(prefix) :]
            if is_component(name):
                found.append(info_of(join(path, name), entry))
        for key in page.prefixes:
            name = key[len(prefix) : -1]
            if is_component(name) and key != bucket.root + UPLOADS:
                directories.append(join(path, name))
    if directories and not sure():
        directories = _not_empty(bucket, directories)
    return found + [directory_info(directory) for directory in directories]


def names(bucket: Bucket, path: str, *, sure: Callable[[], bool]) -> list[str]:
    """The paths of a directory's children, in byte order.

    Raises:
        PathNotFoundError: there is no directory; never for the root.
    """
    found = {info.path for info in children(bucket, path, sure=sure)}
    if not found and path != "/":
        raise PathNotFoundError(path=path)
    return sorted(found)


def _not_empty(bucket: Bucket, directories: list[str]) -> list[str]:
    """Those in which an object lies."""
    looks = [
        bucket.clients.submit(exists_below, bucket, directory)
        for directory in directories
    ]
    return [
        directory
        for directory, look in zip(directories, looks, strict=True)
        if look.result(LOOK_SECONDS_MAX)
    ]


def info_of(path: str, entry: dict[str, Any]) -> FileInfo:
    """What a listing says of an object, as `stat` would say it."""
    return FileInfo(
        path,
        entry["Size"],
        entry["LastModified"].replace(microsecond=0),
        False,
        unquoted(entry["ETag"]),
    )


def directory_info(path: str) -> FileInfo:
    """What there is to say of a directory."""
    return FileInfo(path, 0, None, True)

"""In which order a server lists: of the bytes of keys, or of a tree of directories."""

from __future__ import annotations

import secrets

from ..errors import StorageError
from ..objectstore.store import attempt
from ..standing import standing_on
from .bucket import Bucket

DIRECTORY_BUCKET = "--x-s3"
"""Suffix of the names of Amazon's buckets that list in no order."""


class Order:
    """Finds out, once a process, whether the server lists in byte order.

    Args:
        bucket: what will be walked.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        options = bucket.options
        self._in_bytes: bool | None = None
        if options.listorder != "auto":
            self._in_bytes = options.listorder == "bytes"
        elif options.on_aws:
            self._in_bytes = not options.bucket.endswith(DIRECTORY_BUCKET)

    @property
    def known_in_bytes(self) -> bool:
        """Whether byte order is certain without asking the server."""
        return self._in_bytes is True

    def in_bytes(self) -> bool:
        """Whether the server lists in byte order; asks it the first time."""
        if self._in_bytes is None:
            # Its objects are nobody's, and what it finds outlives the call.
            with standing_on(None):
                self._in_bytes = self._ask()
        return self._in_bytes

    def _ask(self) -> bool:
        """Store two objects that the two orders list the other way round."""
        prefix = f"{self._bucket.uploads}~order-{secrets.token_hex(8)}/"
        keys = [prefix + "a-b", prefix + "a/b"]
        try:
            for key in keys:
                self._bucket.put(key, b"", None)
            return list(self._bucket.keys(prefix, None)) == keys
        except StorageError:
            return False  # right on every server, if slower: it may be read-only
        finally:
            attempt(lambda: self._bucket.delete_keys(keys, None))

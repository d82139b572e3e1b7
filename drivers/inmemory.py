"""Objects in the memory of one process: for tests, and for what need not last."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

from .blocks import Blocks
from .contract import Capabilities, FileInfo, StorageDriver, UploadStatus, Walk
from .errors import PathNotFoundError
from .gate import Gate
from .memoryreader import MemoryReader
from .memoryuploads import Uploads
from .memorywriter import MemoryWriter
from .parameters import Parameter, parse_parameters
from .paths import ROOT
from .refusals import changed
from .shelf import Shelf, Stored
from .standing import check_standing

PARAMETERS: tuple[Parameter, ...] = ()

_PAST_ALL = "\x7f"
"""Greater than every character of a path."""


class InMemoryDriver(StorageDriver):
    """A store that lasts as long as its instance.

    Args:
        unknown: it takes no parameters; any is refused.

    Raises:
        InvalidParameterError: there are parameters.
    """

    name = "inmemory"
    capabilities = Capabilities(
        identity=True,
        resume=True,
        shared=False,
        walk_in_order=True,
        nonblocking=True,
    )

    def __init__(self, **unknown: object) -> None:
        parse_parameters(self.name, PARAMETERS, unknown)
        self._gate = Gate()
        self._shelf = Shelf()
        self._uploads = Uploads()
        # Random, so that no other instance's identities are taken for this one's.
        self._identities = _identities(secrets.token_hex(8))

    def get_content(self, path: str) -> bytes:
        with self._gate:
            content = self._shelf.get(path).content
        return content.read(0, content.size)

    def put_content(self, path: str, content: bytes | bytearray | memoryview) -> None:
        data = bytes(content)
        blocks = Blocks((data,) if data else ())
        with self._gate:
            check_standing()
            stored = Stored(blocks, datetime.now(UTC), next(self._identities))
            self._shelf.put(path, stored)

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> MemoryReader:
        with self._gate:
            stored = self._shelf.get(path)
        if if_match is not None and if_match != stored.identity:
            raise changed(path)
        return MemoryReader(stored, path, offset, length)

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> MemoryWriter:
        with self._gate:
            upload = None
            if upload_id is not None:
                upload = self._uploads.claim(path, upload_id)
            elif append:
                upload = self._uploads.claim_kept(path)
            if upload is None:
                self._shelf.check_free(path)
                stored = self._shelf.find(path) if append else None
                upload = self._uploads.begin(
                    path, stored.content if stored else Blocks()
                )
            return MemoryWriter(
                upload, self._uploads, self._shelf, self._gate, self._identities
            )

    def stat(self, path: str) -> FileInfo:
        with self._gate:
            stored = self._shelf.find(path)
            if stored is not None:
                return stored.info(path)
            if self._shelf.is_directory(path):
                return _directory_info(path)
        raise PathNotFoundError(path=path)

    def list(self, path: str) -> list[str]:
        with self._gate:
            found = self._shelf.children(path)
        if not found and path != ROOT:
            raise PathNotFoundError(path=path)
        return found

    def move(self, source: str, destination: str) -> None:
        with self._gate:
            check_standing()
            self._shelf.move(source, destination)

    def delete(self, path: str) -> None:
        with self._gate:
            check_standing()
            had_uploads = self._uploads.drop_below(path)
            if not self._shelf.remove(path) and not had_uploads:
                raise PathNotFoundError(path=path)

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        with self._gate:
            if not self._shelf.is_directory(path):
                raise PathNotFoundError(path=path)
        return _MemoryWalk(self._shelf, self._gate, path, start_after or "")

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        with self._gate:
            return self._uploads.status(path, upload_id)

    def close(self) -> None:
        if self._gate.close():
            self._shelf = Shelf()
            self._uploads.clear()


class _MemoryWalk(Walk):
    """A walk that remembers nothing but where it is."""

    def __init__(self, shelf: Shelf, gate: Gate, path: str, after: str) -> None:
        self._shelf = shelf
        self._gate = gate
        self._prefix = path.rstrip("/") + "/"
        self._at = max(after, self._prefix)
        self._directory = ""
        self._ended = False

    def __next__(self) -> FileInfo:
        if self._ended:
            raise StopIteration
        with self._gate:
            path = self._shelf.after(self._at)
            if path is None or not path.startswith(self._prefix):
                self._ended = True
                raise StopIteration
            self._directory = ""
            # The directories on the way to an object come before it.
            slash = path.find("/", len(self._prefix))
            while slash >= 0:
                key = path[: slash + 1]
                if key > self._at:
                    self._at = self._directory = key
                    return _directory_info(path[:slash])
                slash = path.find("/", slash + 1)
            self._at = path
            return self._shelf.get(path).info(path)

    def skip(self) -> None:
        if self._directory:
            self._at = self._directory + _PAST_ALL

    def close(self) -> None:
        self._ended = True


def _directory_info(path: str) -> FileInfo:
    return FileInfo(path=path, size=0, mod_time=None, is_dir=True)


def _identities(instance: str) -> Iterator[str]:
    return (f"{instance}-{number:x}" for number in count(1))

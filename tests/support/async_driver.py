"""An `AsyncClient` as a storage driver, so that the conformance suite can check it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from storagebus.client import AsyncClient
from storagebus.client.aiostreams import AsyncReader, AsyncWalk, AsyncWriter
from storagebus.drivers.contract import (
    Capabilities,
    FileInfo,
    Reader,
    StorageDriver,
    UploadStatus,
    Walk,
    Writer,
)

WAIT_S = 60.0

_T = TypeVar("_T")


class AsyncDriver(StorageDriver):
    """Every call goes to a loop on a thread of its own.

    Args:
        client: the arguments of `AsyncClient`.
    """

    def __init__(self, *client: Any, **named: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = AsyncClient(*client, **named)
        self._closed = False

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.run(self._client.describe()).driver

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        return self.run(self._client.capabilities())

    def get_content(self, path: str) -> bytes:
        return self.run(self._client.get_content(path))

    def put_content(self, path: str, content: Any) -> None:
        self.run(self._client.put_content(path, content))

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> Reader:
        stream = self._client.reader(path, offset, length, if_match=if_match)
        return _Reader(self, self.run(stream.open()))

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> Writer:
        upload = self._client.writer(path, append, upload_id=upload_id)
        return _Writer(self, self.run(upload.open()))

    def stat(self, path: str) -> FileInfo:
        return self.run(self._client.stat(path))

    def list(self, path: str) -> list[str]:
        return self.run(self._client.list(path))

    def move(self, source: str, destination: str) -> None:
        self.run(self._client.move(source, destination))

    def delete(self, path: str) -> None:
        self.run(self._client.delete(path))

    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        return self.run(self._client.redirect_url(path, method, expires))

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        return _Walk(self, self.run(self._client.walk(path, start_after).open()))

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        return self.run(self._client.upload_status(path, upload_id))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.run(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(WAIT_S)
            self._loop.close()


class _Reader(Reader):
    def __init__(self, driver: AsyncDriver, stream: AsyncReader) -> None:
        self._driver = driver
        self._stream = stream
        self.identity = stream.identity

    def read(self, size: int | None = -1, /) -> bytes:
        return self._driver.run(self._stream.read(size))

    def readinto(self, buffer: Any, /) -> int:
        return self._driver.run(self._stream.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            self._driver.run(self._stream.close())
            super().close()


class _Writer(Writer):
    def __init__(self, driver: AsyncDriver, upload: AsyncWriter) -> None:
        self._driver = driver
        self._upload = upload
        self.upload_id = upload.upload_id
        self.generation = upload.generation

    @property
    def size(self) -> int:
        return self._upload.size

    @property
    def durable(self) -> int:
        return self._upload.durable

    def write(self, data: Any) -> int:
        return self._driver.run(self._upload.write(data))

    def commit(self) -> None:
        self._driver.run(self._upload.commit())

    def cancel(self) -> None:
        self._driver.run(self._upload.cancel())

    def close(self) -> None:
        self._driver.run(self._upload.close())


class _Walk(Walk):
    def __init__(self, driver: AsyncDriver, walk: AsyncWalk) -> None:
        self._driver = driver
        self._walk = walk

    def __next__(self) -> FileInfo:
        info = self._driver.run(self._next())
        if info is None:
            raise StopIteration
        return info

    def skip(self) -> None:
        self._walk.skip()

    def close(self) -> None:
        self._driver.run(self._walk.close())

    async def _next(self) -> FileInfo | None:
        try:
            return await self._walk.__anext__()
        except StopAsyncIteration:
            return None

"""The two clients behind one face, so that the same load runs on both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from storagebus.client import AsyncClient, Client
from storagebus.drivers.contract import FileInfo

T = TypeVar("T")


class Upload(Protocol):
    """A writer."""

    async def write(self, data: bytes) -> None: ...
    async def commit(self) -> None: ...
    async def cancel(self) -> None: ...


class Download(Protocol):
    """A reader."""

    async def read(self, size: int) -> bytes: ...
    async def close(self) -> None: ...


class Store(Protocol):
    """What the load does."""

    async def put(self, path: str, data: bytes) -> None: ...
    async def get(self, path: str) -> bytes: ...
    async def stat(self, path: str) -> FileInfo: ...
    async def move(self, source: str, destination: str) -> None: ...
    async def delete(self, path: str) -> None: ...
    async def writer(self, path: str) -> Upload: ...
    async def reader(self, path: str, start: int, length: int | None) -> Download: ...
    async def sleep(self, seconds: float) -> None: ...
    async def close(self) -> None: ...


class Blocking:
    """An object of the synchronous client; every call blocks."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    async def read(self, size: int) -> bytes:
        data: bytes = self._wrapped.read(size)
        return data

    async def write(self, data: bytes) -> None:
        self._wrapped.write(data)

    async def commit(self) -> None:
        self._wrapped.commit()

    async def cancel(self) -> None:
        self._wrapped.cancel()

    async def close(self) -> None:
        self._wrapped.close()


class SyncStore:
    """The synchronous client, for coroutines that never wait (`run_blocking`)."""

    def __init__(self, endpoints: Sequence[str], service: str, deadline_s: float):
        self._client = Client(list(endpoints), service, deadline_s)

    async def put(self, path: str, data: bytes) -> None:
        self._client.put_content(path, data)

    async def get(self, path: str) -> bytes:
        return self._client.get_content(path)

    async def stat(self, path: str) -> FileInfo:
        return self._client.stat(path)

    async def move(self, source: str, destination: str) -> None:
        self._client.move(source, destination)

    async def delete(self, path: str) -> None:
        self._client.delete(path)

    async def writer(self, path: str) -> Upload:
        return Blocking(self._client.writer(path))

    async def reader(self, path: str, start: int, length: int | None) -> Download:
        return Blocking(self._client.reader(path, start, length))

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def close(self) -> None:
        self._client.close()


class AsyncStore:
    """The client for asyncio."""

    def __init__(self, endpoints: Sequence[str], service: str, deadline_s: float):
        self._client = AsyncClient(list(endpoints), service, deadline_s)
        self.put = self._client.put_content
        self.get = self._client.get_content
        self.stat = self._client.stat
        self.move = self._client.move
        self.delete = self._client.delete
        self.close = self._client.close
        self.sleep = asyncio.sleep

    async def writer(self, path: str) -> Upload:
        return await self._client.writer(path)

    async def reader(self, path: str, start: int, length: int | None) -> Download:
        return await self._client.reader(path, start, length)


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as over:
        value: T = over.value
        return value
    raise AssertionError("it suspended")

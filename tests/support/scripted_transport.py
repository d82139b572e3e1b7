"""A client's transport whose streams answer as a test has written down."""

from __future__ import annotations

from collections import deque
from typing import Any

from storagebus.broker.messages import Accepted, Open, Operation, Result, parse
from storagebus.broker.wire import Payload, Type
from storagebus.client.requests import Finished, Request
from storagebus.drivers.errors import StorageError


class Stream:
    """A stream of a scripted worker: it accepts, takes bytes, and ends as told.

    Args:
        size: what the upload holds, or the error instead of an ACCEPT.
        write, end: error instead of taking bytes, or the end; None for success.
        generation: of the claim.
    """

    def __init__(
        self,
        size: int | StorageError = 0,
        write: StorageError | None = None,
        end: StorageError | Result | None = None,
        generation: int = 1,
    ) -> None:
        self._generation = generation
        self._size, self._write, self._end = size, write, end
        self.result = None
        self.durable = 0
        self.ended = False
        self.taken: list[bytes] = []
        self.ended_with: Type | None = None
        self.asked = Open("")
        self.request = Request(Operation.STAT, b"", 0.0)
        self.within_s = 0.0
        self.moved_at = 0.0
        self.relaxed = False

    async def opened(self) -> Accepted:
        if isinstance(self._size, StorageError):
            raise self._size
        return Accepted(
            size=self._size,
            durable=self._size,
            upload_id="u1",
            generation=self._generation,
        )

    async def write(self, data: Payload) -> None:
        if self._write is not None:
            self.ended = True
            raise self._write
        self.taken.append(bytes(data))

    @property
    def reached(self) -> int:
        if isinstance(self._size, StorageError):
            return -1
        return self._size + sum(map(len, self.taken))

    def relax(self) -> None:
        self.relaxed = True

    def end(self, kind: Type, within_s: float) -> None:
        self.ended_with, self.within_s = kind, within_s

    async def finish(self) -> Finished:
        self.ended = True
        if isinstance(self._end, StorageError):
            raise self._end
        return Finished(self._end or Result(), b"")

    def release(self) -> None:
        pass


class Script:
    """A transport whose streams are prepared.

    Attributes:
        time: the present.
    """

    def __init__(self, *streams: tuple[Operation, Stream]) -> None:
        self._streams = deque(streams)
        self.time = 100.0

    def add(self, operation: Operation, stream: Stream) -> None:
        """One more."""
        self._streams.append((operation, stream))

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    call_lanes = None

    async def explain(self, error: StorageError) -> None:
        pass

    def begin(self, request: Request, *, brief: bool) -> Any:
        operation, stream = self._streams.popleft()
        assert request.operation is operation
        stream.asked = parse(Open, request.fields)
        stream.request = request
        return stream

    def close(self) -> None:
        assert not self._streams, "not everything was asked for"

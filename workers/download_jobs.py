"""The jobs of downloads: open, read on, give up. Sources pass through the machine
of a download unopened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..broker.memorylane import MemoryLane
from ..broker.messages import LANE_FILE, LANE_MEMORY, Open, Operation
from ..broker.moments import to_us
from ..drivers.contract import StorageDriver
from .lanes import LINGER_S, Offer, memory_offer, stay_s
from .sources import ObjectSource, PageSource, Source

LANE_READ_BYTES_MAX = 1_048_576
"""What is read into a lane at a time; pieces end at its multiples."""


class Pieces(NamedTuple):
    """Some of a download's bytes.

    Attributes:
        source: where more come from; closed already when these are the last.
        pieces: payloads, in order.
        last: whether the stream ends with them.
        offer: a lane for what follows; of a file, for all there is.
    """

    source: Source
    pieces: list[bytes]
    last: bool
    offer: Offer | None = None


class Filled(NamedTuple):
    """How far a download by a lane has got.

    Attributes:
        sent: up to where its bytes lie in the lane, as an offset of the stream.
        limit: up to where they may.
        last: whether the stream ends with them; the source is closed then.
        cut: whether the client cannot grant more.
    """

    sent: int
    limit: int
    last: bool
    cut: bool


@dataclass(frozen=True, slots=True)
class OpenSource:
    """Open a download and read its first `size` bytes, unless its file can be had.

    `lanes` are the kinds of lanes that the client takes.
    """

    operation: int
    request: Open
    size: int
    lanes: tuple[str, ...] = ()

    def run(self, driver: StorageDriver) -> Pieces:
        source = SOURCES[self.operation](driver, self.request)
        try:
            offer = source.file() if LANE_FILE in self.lanes else None
        except BaseException:
            source.close()
            raise
        if offer is not None:
            return Pieces(source, [], False, offer)
        got = _read(source, self.size)
        if got.last or LANE_MEMORY not in self.lanes:
            return got
        window = self.request.lane_window
        return got._replace(offer=memory_offer(window, writable=False))


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Read the next `size` bytes of a download."""

    source: Source = field(repr=False)
    size: int

    def run(self, driver: StorageDriver) -> Pieces:
        return _read(self.source, self.size)


@dataclass(frozen=True, slots=True)
class FillLane:
    """Read on into a download's lane, for as long as the client takes it out.

    Attributes:
        source: where the bytes come from.
        lane: where they go.
        sent, limit: as in `Filled`, so far.
        silent: whether to read one piece, and leave it to the stream to tell of it.
    """

    source: Source = field(repr=False)
    lane: MemoryLane = field(repr=False)
    sent: int
    limit: int
    silent: bool = False

    def run(self, driver: StorageDriver) -> Filled:
        ring, bell = self.lane.segment, self.lane.bell
        at, limit, last = self.sent, self.limit, True
        ends = time.monotonic() + (0.0 if self.silent else stay_s(driver))
        try:
            while True:
                bell.heard()
                limit = max(limit, bell.mark)
                to_boundary = LANE_READ_BYTES_MAX - at % LANE_READ_BYTES_MAX
                size = min(limit - at, ring.room(at), to_boundary)
                if size > 0:
                    count, last = self.source.read_into(ring.part(at, size))
                    at += count
                    if not self.silent:
                        bell.ring(at)
                    if last or time.monotonic() >= ends:
                        break
                elif at == self.sent or bell.is_cut or not bell.wait(LINGER_S):
                    last = False
                    break
                last = True  # if it fails now
        finally:
            if last:
                self.source.close()
        return Filled(at, limit, last, bell.is_cut)


@dataclass(frozen=True, slots=True)
class CloseSource:
    """Give a download up."""

    source: Source = field(repr=False)

    def run(self, driver: StorageDriver) -> None:
        self.source.close()


def _read(source: Source, size: int) -> Pieces:
    """Read, and close the source as soon as it is of no more use."""
    last = True
    try:
        pieces, last = source.read(size)
    finally:
        if last:
            source.close()
    return Pieces(source, pieces, last)


def _object(driver: StorageDriver, request: Open) -> Source:
    reader = driver.reader(
        request.path, request.start, request.length, if_match=request.if_match
    )
    return ObjectSource(reader, request.length)


def _names(driver: StorageDriver, request: Open) -> Source:
    return PageSource(iter(driver.list(request.path)))


def _entries(driver: StorageDriver, request: Open) -> Source:
    walk = driver.walk(request.path, request.start_after)
    entries = (
        [
            info.path,
            info.size,
            None if info.mod_time is None else to_us(info.mod_time),
            info.is_dir,
            info.identity,
        ]
        for info in walk
    )
    return PageSource(entries, walk.close)


SOURCES: dict[int, Callable[[StorageDriver, Open], Source]] = {
    Operation.READ: _object,
    Operation.LIST: _names,
    Operation.WALK: _entries,
}
"""What opens a download, by the operation's code on the wire."""

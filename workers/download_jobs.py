"""The jobs of downloads: open, read on, give up. Sources pass through the machine
of a download unopened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..broker.messages import LANE_FILE, LANE_MEMORY, Open, Operation
from ..broker.moments import to_us
from ..drivers.contract import StorageDriver
from .lanes import Offer, memory_offer
from .sources import ObjectSource, PageSource, Source


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
    """Some of a download's bytes, in its lane.

    Attributes:
        size: how many.
        last: whether the stream ends with them; the source is closed then.
    """

    size: int
    last: bool


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
    """Read on into the memory of the download's lane."""

    source: Source = field(repr=False)
    target: memoryview = field(repr=False)

    def run(self, driver: StorageDriver) -> Filled:
        last = True
        try:
            count, last = self.source.read_into(self.target)
        finally:
            self.target.release()
            if last:
                self.source.close()
        return Filled(count, last)


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

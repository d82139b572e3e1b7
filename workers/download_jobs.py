"""The jobs of downloads: open, read on, give up. Sources pass through the machine
of a download unopened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..broker.messages import Open, Operation
from ..broker.moments import to_us
from ..drivers.contract import StorageDriver
from .sources import ObjectSource, PageSource, Source


class Pieces(NamedTuple):
    """Some of a download's bytes.

    Attributes:
        source: where more come from; closed already when these are the last.
        pieces: payloads, in order.
        last: whether the stream ends with them.
        identity: of the object, from drivers that have it.
    """

    source: Source
    pieces: list[bytes]
    last: bool
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class OpenSource:
    """Open a download and read its first `size` bytes."""

    operation: int
    request: Open
    size: int

    def run(self, driver: StorageDriver) -> Pieces:
        return _read(SOURCES[self.operation](driver, self.request), self.size)


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Read the next `size` bytes of a download."""

    source: Source = field(repr=False)
    size: int

    def run(self, driver: StorageDriver) -> Pieces:
        return _read(self.source, self.size)


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
    return Pieces(source, pieces, last, source.identity)


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

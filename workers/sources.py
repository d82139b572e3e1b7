"""Where the bytes of a download come from: an object, or pages of a listing.

These live on the driver's side: their methods run in jobs and may wait for the
driver. PROTOCOL.md section 6.2 has the form of the pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Protocol

import msgpack

from ..broker.flow import ALIGNED_BYTES
from ..broker.messages import PAGE_BYTES_MAX
from ..drivers.contract import Reader
from .lanes import Offer, file_offer

PAGES_TIME_S = 0.2
"""After this long what was found so far is sent: a slow store still shows life."""
READ_TIME_S = 0.02
"""After this long no further piece is read before what is there is sent."""
_ARRAY_HEAD_BYTES = 3
"""Of an array of 16 to 65,535 items; a page has fewer, an item having a byte."""


class Source(Protocol):
    """A download's bytes.

    Attributes:
        identity: of the object, from drivers that have it.
    """

    identity: str | None

    def read(self, size: int) -> tuple[list[bytes], bool]:
        """The next payloads, of about `size` bytes in all, and whether they are
        the last."""

    def read_into(self, target: memoryview) -> tuple[int, bool]:
        """Fill memory with the next bytes: how many they are, and whether they are
        the last."""

    def file(self) -> Offer | None:
        """The file that the bytes are in, where there is one to hand over."""

    def close(self) -> None:
        """Free what the driver holds. Harmless when repeated."""


class ObjectSource:
    """An object's bytes.

    Args:
        reader: the driver's reader, whose reads are short only at the end.
        length: bytes that the caller asked for at most; None reads to the end.
    """

    def __init__(self, reader: Reader, length: int | None) -> None:
        self.identity = reader.identity
        self._reader = reader
        self._left = inf if length is None else length
        self._at = 0

    def read(self, size: int) -> tuple[list[bytes], bool]:
        """Pieces that end at multiples of `ALIGNED_BYTES`, and from a slow store no
        more than one; the last one is short, or completes the length asked for."""
        pieces: list[bytes] = []
        until = time.monotonic() + READ_TIME_S
        end = self._at + size
        while self._at < end and self._left:
            due = min(end - self._at, ALIGNED_BYTES - self._at % ALIGNED_BYTES)
            if due > self._left:
                due = int(self._left)
            data = self._reader.read(due)
            if data:
                pieces.append(data)
                self._moved(len(data))
            if len(data) < due:
                return pieces, True
            if time.monotonic() >= until:
                break
        return pieces, not self._left

    def read_into(self, target: memoryview) -> tuple[int, bool]:
        """As `read`, straight into memory that the client sees."""
        if self._left < len(target):
            target = target[: int(self._left)]
        count = self._reader.readinto(target) if target else 0
        self._moved(count)
        return count, not self._left or count < len(target)

    def file(self) -> Offer | None:
        """The driver's file, when it reads one."""
        return file_offer(self._reader)

    def close(self) -> None:
        """Close the driver's reader."""
        self._reader.close()

    def _moved(self, count: int) -> None:
        self._at += count
        self._left -= count


class PageSource:
    """Pages of a listing or walk: msgpack arrays of at most `PAGE_BYTES_MAX`.

    Args:
        entries: the items, as they go into the arrays.
        close: what closes the driver's iterator, if it needs it.
    """

    def __init__(
        self, entries: Iterator[Any], close: Callable[[], None] | None = None
    ) -> None:
        self.identity: str | None = None
        self._entries = entries
        self._close = close
        self._held: bytes | None = None
        self._ended = False

    def read(self, size: int) -> tuple[list[bytes], bool]:
        """At least one page, unless there is none left; no further page is begun
        above `size` bytes, or after `PAGES_TIME_S`."""
        pages: list[bytes] = []
        total = 0
        until = time.monotonic() + PAGES_TIME_S
        while not self._ended:
            page = self._page(until)
            if page is None:
                break
            pages.append(page)
            total += len(page)
            if total + PAGE_BYTES_MAX > size or time.monotonic() >= until:
                break
        return pages, self._ended

    def read_into(self, target: memoryview) -> tuple[int, bool]:
        """Pages are made in pieces, which go through the broker."""
        raise AssertionError("a listing has no lane")

    def file(self) -> None:
        """Pages are in no file."""

    def close(self) -> None:
        """Let go of the entries."""
        self._ended = True
        if self._close is not None:
            self._close()

    def _page(self, until: float) -> bytes | None:
        """The next page; sets `_ended` with the one that is the last."""
        packed: list[bytes] = []
        total = _ARRAY_HEAD_BYTES
        while True:
            item = self._next()
            if item is None:
                self._ended = True
                break
            if packed and total + len(item) > PAGE_BYTES_MAX:
                self._held = item
                break
            packed.append(item)
            total += len(item)
            if time.monotonic() >= until:
                break
        if not packed:
            return None
        return _array_head(len(packed)) + b"".join(packed)

    def _next(self) -> bytes | None:
        held, self._held = self._held, None
        if held is not None:
            return held
        for entry in self._entries:
            packed: bytes = msgpack.packb(entry, use_bin_type=True)
            return packed
        return None


def _array_head(count: int) -> bytes:
    head: bytes = msgpack.Packer().pack_array_header(count)
    return head

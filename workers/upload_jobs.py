"""The jobs of uploads: open, append, commit, keep or drop. Writers pass through the
machine of an upload unopened."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..broker.memorylane import MemoryLane
from ..broker.messages import Open
from ..broker.wire import CHUNK_BYTES_MAX, Payload
from ..drivers.contract import StorageDriver, Writer
from ..drivers.errors import ProtocolError
from .lanes import LANE_CREDIT_PART, LINGER_S, Offer, memory_offer, stay_s

LANE_WRITE_BYTES_MAX = 2_097_152
"""Bytes in a lane that become one write."""


class Opened(NamedTuple):
    """A writer that was opened, and what its ACCEPT says."""

    writer: Writer
    size: int
    durable: int
    upload_id: str
    generation: int
    offer: Offer | None = None


class Kept(NamedTuple):
    """What an upload holds: bytes accepted, and bytes that survive the process."""

    size: int
    durable: int
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class OpenWriter:
    """Open an upload, and offer a lane of `lane_bytes`, if that is not 0."""

    request: Open
    lane_bytes: int = 0

    def run(self, driver: StorageDriver) -> Opened:
        asked = self.request
        writer = driver.writer(asked.path, asked.append, upload_id=asked.upload_id)
        return Opened(
            writer,
            writer.size,
            writer.durable,
            writer.upload_id,
            writer.generation,
            memory_offer(self.lane_bytes, writable=True),
        )


@dataclass(frozen=True, slots=True)
class WritePieces:
    """Append bytes, and return how many of all are durable then."""

    writer: Writer = field(repr=False)
    pieces: tuple[Payload, ...] = field(repr=False)
    size: int

    def run(self, driver: StorageDriver) -> int:
        for data in _joined(self.pieces):
            self.writer.write(data)
        return self.writer.durable


class Written(NamedTuple):
    """How far an upload by a lane has got.

    Attributes:
        consumed: up to where its bytes were written, as an offset of the stream.
        arrived: up to where they lie in the lane.
        durable: bytes of the upload that survive the process.
        cut: whether the client cannot tell of more.
    """

    consumed: int
    arrived: int
    durable: int
    cut: bool


@dataclass(frozen=True, slots=True)
class WriteLane:
    """Append what lies in a lane, and what comes while it is at that.

    Attributes:
        writer: the upload.
        lane: its lane.
        consumed, arrived: as in `Written`, so far.
    """

    writer: Writer = field(repr=False)
    lane: MemoryLane = field(repr=False)
    consumed: int
    arrived: int

    def run(self, driver: StorageDriver) -> Written:
        ring, bell = self.lane.segment, self.lane.bell
        at, arrived = self.consumed, self.arrived
        ends = time.monotonic() + stay_s(driver)
        while True:
            bell.heard()
            arrived = max(arrived, bell.mark)
            if arrived - at > ring.size:
                raise ProtocolError(f"{arrived - at} bytes in a lane of {ring.size}")
            if arrived > at:
                count = min(arrived - at, ring.room(at), LANE_WRITE_BYTES_MAX)
                self.writer.write(ring.part(at, count))
                at += count
                limit = at + ring.size
                if limit - bell.told >= ring.size // LANE_CREDIT_PART:
                    bell.ring(limit, self.writer.durable)
                if time.monotonic() >= ends:
                    break
            elif at == self.consumed or bell.is_cut or not bell.wait(LINGER_S):
                break
        return Written(at, arrived, self.writer.durable, bell.is_cut)


def _joined(pieces: Iterable[Payload]) -> Iterator[Payload]:
    """The same bytes with small pieces joined, up to a chunk."""
    group: list[Payload] = []
    size = 0
    for piece in pieces:
        if group and size + len(piece) > CHUNK_BYTES_MAX:
            yield group[0] if len(group) == 1 else b"".join(group)
            group, size = [], 0
        group.append(piece)
        size += len(piece)
    yield group[0] if len(group) == 1 else b"".join(group)


@dataclass(frozen=True, slots=True)
class CommitWriter:
    """Make an upload the object."""

    writer: Writer = field(repr=False)
    path: str

    def run(self, driver: StorageDriver) -> Kept:
        writer = self.writer
        size = writer.size
        writer.commit()
        # The object is there: nothing that fails from here on may say otherwise.
        identity: str | None = None
        try:
            writer.close()
            if driver.capabilities.resume and writer.upload_id:
                # Not by a stat, which could see what another has put there since.
                status = driver.upload_status(self.path, writer.upload_id)
                identity = status.identity
        except Exception:
            pass
        return Kept(size, size, identity)


@dataclass(frozen=True, slots=True)
class SettleWriter:
    """End an upload without a commit: keep what it holds, or drop it."""

    writer: Writer = field(repr=False)
    keep: bool

    def run(self, driver: StorageDriver) -> Kept:
        writer = self.writer
        size, durable = writer.size, writer.durable
        if not self.keep:
            writer.cancel()
            writer.close()
            return Kept(0, 0)
        writer.close()
        # Closing may store what the last writes left in a buffer.
        return Kept(size, max(durable, writer.durable))

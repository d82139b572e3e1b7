"""The jobs of uploads: open, append, commit, keep or drop. Writers pass through the
machine of an upload unopened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..broker.messages import Open
from ..broker.wire import Payload
from ..drivers.contract import StorageDriver, Writer
from .lanes import Offer, memory_offer


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
        pieces = self.pieces
        self.writer.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return self.writer.durable


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

"""What a stream may offer its client beside the way through the broker: a lane.

Values only, see PROTOCOL.md section 9.1. Offers cost nothing until they are taken up:
a segment is made when its token is shown, and not for every small upload.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..broker.lanes import Descriptor
from ..broker.memorylane import MemoryLane
from ..broker.messages import (
    LANE_CALLS,
    LANE_FEATURE,
    LANE_FILE,
    LANE_MEMORY,
    TOKEN_BYTES,
    Open,
    Operation,
)
from ..broker.wire import LANE_BYTES_MAX
from ..drivers.contract import Reader, StorageDriver

FILE_BYTES_MIN = 65_537
"""A file is offered from this size on; what is smaller is one RESULT."""
UPLOAD_BYTES_MAX = 4_194_304
"""Segment of an upload where there are few."""
UPLOAD_BYTES_MIN = 524_288
"""The same where there are many."""
UPLOAD_BYTES_STEP = 65_536
FAIR_PART = 3
"""Each upload gets so little of the bound that 32 that come one after another, and
find less and less, stay within it."""


STAY_S_MAX = 0.02
"""How long a job stays at a lane, lest it holds its thread, or a cancel, for long."""
LINGER_S = 0.001
"""How long it waits for the client to go on, before the loop waits in its place."""
LANE_CREDIT_PART = 4
"""The client is told when this part of a lane is free again."""


class LaneTerms(NamedTuple):
    """What a worker can offer at all.

    Attributes:
        address: of its side socket.
        host: its host's mark.
        bytes_max: what all segments may have together.
    """

    address: str
    host: str
    bytes_max: int

    def fair_bytes(self, streams: int) -> int:
        """Bytes for the segment of another upload.

        Args:
            streams: how many the worker has open already.
        """
        fair = self.bytes_max // (FAIR_PART * (streams + 1))
        fair -= fair % UPLOAD_BYTES_STEP
        return max(UPLOAD_BYTES_MIN, min(fair, UPLOAD_BYTES_MAX))

    def kinds(
        self, operation: int, request: Open, features: Collection[str]
    ) -> tuple[str, ...]:
        """What of that which a client takes may be offered to it: nothing, unless it
        is on this host.

        Args:
            operation, request: what it wants to have done.
            features: what is in force in the session with its broker.
        """
        if request.lane != self.host or LANE_FEATURE not in features:
            return ()
        if operation in _WITH_BYTES:
            return request.lane_kinds
        return (LANE_CALLS,) if LANE_CALLS in request.lane_kinds else ()


_WITH_BYTES = frozenset({Operation.READ, Operation.WRITE})


@dataclass(frozen=True, slots=True)
class Offer:
    """A lane that the client of a stream may take up.

    Attributes:
        kind: "file", "memory" or "calls".
        size: bytes of the segment, or of the stream in the file.
        start: where the stream begins in the file.
        file: the descriptor to hand over.
        writable: whether the client fills the segment.
        token: what the client has to show.
    """

    kind: str
    size: int
    start: int = 0
    file: Descriptor | None = None
    writable: bool = False
    token: bytes = field(
        default_factory=lambda: secrets.token_bytes(TOKEN_BYTES), repr=False
    )

    def told(self, address: str) -> dict[str, Any]:
        """What an ACCEPT or RESULT says of it.

        Args:
            address: of the side socket.
        """
        return {
            "lane": self.kind,
            "lane_address": address,
            "lane_token": self.token,
            "lane_bytes": self.size,
            "lane_start": self.start,
        }


Taken = MemoryLane | None
"""What the worker keeps of a lane that was taken: of a file nothing."""


def stay_s(driver: StorageDriver) -> float:
    """How long a job may stay at a lane after its first piece, in seconds; not at all
    where it is the loop itself that runs it."""
    return 0.0 if driver.capabilities.nonblocking else STAY_S_MAX


def memory_offer(size: int, *, writable: bool) -> Offer | None:
    """A segment of at least so many bytes; None when that is no size for one."""
    pages = -(-size // os.sysconf("SC_PAGE_SIZE"))
    size = pages * os.sysconf("SC_PAGE_SIZE")
    if not 0 < size <= LANE_BYTES_MAX:
        return None
    return Offer(LANE_MEMORY, size, writable=writable)


def calls_offer() -> Offer:
    """A lane for small calls, of no stream."""
    return Offer(LANE_CALLS, 0)


def file_offer(reader: Reader) -> Offer | None:
    """The file that a reader reads, if it reads one, and it is worth the effort.

    The client gets a description of its own, for reading only: with the driver's it
    could move the driver's position, or write where the driver may.
    """
    found = reader.file_range()
    if found is None or found.end - found.start < FILE_BYTES_MIN:
        return None
    try:
        again = os.open(f"/proc/self/fd/{found.fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    file = Descriptor(again)
    if not stat.S_ISREG(os.fstat(again).st_mode):
        return None
    return Offer(LANE_FILE, found.end - found.start, found.start, file)

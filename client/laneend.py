"""The application's end of a memory lane: what it takes out, or puts in.

Nothing here waits. Whoever does listens to the bell, see `handles`.
"""

from __future__ import annotations

from ..broker.memorylane import MemoryLane
from ..drivers.errors import DataLossError, ProtocolError

PIECE_BYTES = 1_048_576
"""Bytes that go into a lane, or out of it, before the other end is told."""
CREDIT_PART = 4
"""The worker is told when this part of a lane is free again."""
BREATH_BYTES = 4_194_304
"""Bytes by a lane after which other work of the same thread has its turn."""


class LaneEnd:
    """An end.

    Args:
        lane: fetched for this operation; closed with it.

    Attributes:
        bell: the lane's.
        in_use: whether all that follows goes by the lane.
    """

    __slots__ = ("_arrived", "_at", "_breath", "_held", "_lane", "bell", "in_use")

    def __init__(self, lane: MemoryLane) -> None:
        self._lane = lane
        self._at = 0  # up to where a download's bytes were taken out
        self._arrived = 0  # up to where they lie here
        self._held = 0  # of those, what the caller is looking at
        self._breath = 0
        self.bell = lane.bell
        self.in_use = False

    def begin(self, offset: int, size: int) -> None:
        """From this offset of the stream on its bytes are here, so many already."""
        self.in_use = True
        self._at, self._arrived = offset, offset + size

    def give_back(self, *, more: bool) -> None:
        """The caller has seen the last piece.

        Args:
            more: whether the worker has still something to send.
        """
        self._at += self._held
        self._held = 0
        ring = self._lane.segment
        limit = self._at + ring.size
        if more and limit - self.bell.told >= ring.size // CREDIT_PART:
            self.bell.ring(limit)

    def piece(self, end: int | None) -> memoryview | None:
        """The next bytes, good until they are given back; None if there are none.

        Args:
            end: bytes of the whole stream, when the worker has said so.

        Raises:
            DataLossError: there are more than that.
            ProtocolError: there are more than the lane holds.
        """
        self.bell.heard()
        self._arrived = max(self._arrived, self.bell.mark)
        if end is not None:
            if self._arrived > end:
                raise DataLossError(
                    f"the stream ended at {end} with {self._arrived} bytes in its lane"
                )
            self._arrived = end
        ring = self._lane.segment
        here = self._arrived - self._at
        if here > ring.size:
            raise ProtocolError(f"{here} bytes in a lane of {ring.size}")
        if not here:
            return None
        to_boundary = PIECE_BYTES - self._at % PIECE_BYTES
        self._held = min(here, ring.room(self._at), to_boundary)
        self._breath += self._held
        return ring.part(self._at, self._held)

    def put(self, data: memoryview, offset: int, limit: int) -> int:
        """Put bytes of an upload here; returns how many.

        Args:
            data: the next ones.
            offset: where in the stream they begin.
            limit: up to where the broker has let them go; the bell may say more.
        """
        self.bell.heard()
        ring = self._lane.segment
        most = max(limit, self.bell.mark) - offset
        count = min(len(data), most, ring.room(offset), PIECE_BYTES)
        if count <= 0:
            return 0
        ring.part(offset, count)[:] = data[:count]
        self._breath += count
        return count

    def is_out_of_breath(self) -> bool:
        """Whether others should have their turn now; asked before every piece."""
        if self._breath < BREATH_BYTES:
            return False
        self._breath = 0
        return True

    def close(self) -> None:
        """Let go of the lane. Harmless when repeated."""
        self._lane.close()

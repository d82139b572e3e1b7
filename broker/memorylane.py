"""A memory lane as each end has it: the ring, and the bell that tells of it."""

from __future__ import annotations

from .bell import Bell
from .segment import Segment


class MemoryLane:
    """What was made for one stream, and ends with it.

    Args:
        segment: the ring.
        bell: the connection by which it was handed over.

    Attributes:
        segment, bell: see above.
    """

    __slots__ = ("bell", "segment")

    def __init__(self, segment: Segment, bell: Bell) -> None:
        self.segment = segment
        self.bell = bell

    def close(self) -> None:
        """Let go of both. Harmless when repeated."""
        self.bell.close()
        self.segment.close()

"""How far the broker lets each stream's sender run, and the bound on them all.

Pure. The receiver of a stream grants credit; the broker passes on only as much as it
is ready to hold, since libzmq holds in the broker's name whatever was forwarded and
not yet received. Every open stream has a floor of its own; above the floors all
streams share one pool, each at most its fair part. So the sum of (passed - received)
never exceeds `streams_max * floor_bytes + pool_bytes`.
"""

from __future__ import annotations

from ..drivers.errors import ProtocolError
from .flow import aligned

SHARE_BYTES_MAX = 8_388_608
"""More than this in flight makes no stream faster."""


class Flow:
    """The bytes of one stream on their way through the broker.

    Attributes:
        limit: what the receiver has granted.
        passed: what the sender was told of it.
        forwarded: bytes that have gone through.
        received: bytes that the receiver has reported.
        lane_from: where the stream left this way for a lane on its peers' host; None
            while it has not.
    """

    __slots__ = ("forwarded", "lane_from", "limit", "passed", "pooled", "received")

    def __init__(self) -> None:
        self.limit = 0
        self.passed = 0
        self.forwarded = 0
        self.received = 0
        self.pooled = 0
        self.lane_from: int | None = None

    @property
    def in_flight(self) -> int:
        """Bytes that the broker may have to hold for this stream."""
        end = self.passed if self.lane_from is None else self.lane_from
        return max(0, end - self.received)

    @property
    def unread(self) -> int:
        """Bytes that went through and are not reported received."""
        end = self.forwarded if self.lane_from is None else self.lane_from
        return max(0, end - self.received)


class Budget:
    """The bound.

    Args:
        streams_max: flows at once.
        floor_bytes: what every flow may have in flight.
        pool_bytes: what all flows share above that.

    Attributes:
        flows: open flows.
        in_flight: bytes that the broker may have to hold for all of them.
        pooled: bytes of the pool in use.
    """

    def __init__(self, streams_max: int, floor_bytes: int, pool_bytes: int) -> None:
        self.streams_max = streams_max
        self.floor_bytes = floor_bytes
        self.pool_bytes = pool_bytes
        self.flows = 0
        self.in_flight = 0
        self.pooled = 0

    @property
    def in_flight_max(self) -> int:
        """The bound on `in_flight`."""
        return self.streams_max * self.floor_bytes + self.pool_bytes

    def open(self) -> Flow | None:
        """A flow for a new stream, or None when no floor is left for it."""
        if self.flows >= self.streams_max:
            return None
        self.flows += 1
        return Flow()

    def close(self, flow: Flow) -> None:
        """The stream is over."""
        self.flows -= 1
        self.in_flight -= flow.in_flight
        self.pooled -= flow.pooled
        flow.pooled = 0

    def grant(self, flow: Flow, received: int, limit: int) -> bool:
        """Take the receiver's CREDIT; True when the sender should be told of more.

        Raises:
            ProtocolError: more is reported received than was forwarded.
        """
        if received > flow.forwarded:
            raise ProtocolError(
                f"CREDIT for {received} bytes; {flow.forwarded} were sent"
            )
        before = flow.in_flight
        flow.received = max(flow.received, received)
        flow.limit = max(flow.limit, limit)
        raised = self._extend(flow)
        self.in_flight += flow.in_flight - before
        return raised

    def forward(
        self, flow: Flow, offset: int, count: int, *, by_lane: bool = False
    ) -> bool:
        """Account for a piece; False when it is a duplicate, which must not go on.

        The receiver would ignore a duplicate, but what is sent twice is held twice.

        Raises:
            ProtocolError: the sender has gone beyond what it was told, or comes back
                from its lane.
        """
        if offset < flow.forwarded:
            return False
        if by_lane:
            self._leave_for_lane(flow)
        elif flow.lane_from is not None:
            raise ProtocolError("DATA through the broker after DATA in a lane")
        if offset + count > flow.passed:
            raise ProtocolError(
                f"DATA up to {offset + count}, beyond the limit of {flow.passed}"
            )
        flow.forwarded = offset + count
        return True

    def _leave_for_lane(self, flow: Flow) -> None:
        """From here on nothing of the stream is held here."""
        if flow.lane_from is None:
            before = flow.in_flight
            flow.lane_from = flow.forwarded
            self.in_flight += flow.in_flight - before
            self._repool(flow)

    def _extend(self, flow: Flow) -> bool:
        """Raise what is passed as far as the pool and the flow's part allow."""
        if flow.lane_from is not None:
            raised = flow.limit > flow.passed
            flow.passed = max(flow.passed, flow.limit)
            self._repool(flow)
            return raised
        fair = min(SHARE_BYTES_MAX, self.pool_bytes // max(1, self.flows))
        free = self.pool_bytes - self.pooled + flow.pooled
        share = self.floor_bytes + min(fair, free)
        limit = min(flow.limit, aligned(flow.received + share, share))
        passed = max(flow.passed, limit)
        raised = passed > flow.passed
        flow.passed = passed
        self._repool(flow)
        return raised

    def _repool(self, flow: Flow) -> None:
        """Take from the pool, or give back, what the flow has above its floor."""
        pooled = max(0, flow.in_flight - self.floor_bytes)
        self.pooled += pooled - flow.pooled
        flow.pooled = pooled

"""How far the broker lets each stream's sender run, and the bound on them all.

Pure. The receiver of a stream grants credit; the broker passes on only as much as it
is ready to hold, since libzmq holds in the broker's name whatever was forwarded and
not yet received. Every open stream has a floor of its own; above the floors all
streams share one pool, each at most its fair part. So the sum of (passed - received)
never exceeds `streams_max * floor_bytes + pool_bytes`.
"""

from __future__ import annotations

from ..drivers.errors import ProtocolError

SHARE_BYTES_MAX = 4_194_304
"""More than this in flight makes no stream faster."""


class Flow:
    """The bytes of one stream on their way through the broker.

    Attributes:
        limit: what the receiver has granted.
        passed: what the sender was told of it.
        forwarded: bytes that have gone through.
        received: bytes that the receiver has reported.
    """

    __slots__ = ("forwarded", "limit", "passed", "pooled", "received")

    def __init__(self) -> None:
        self.limit = 0
        self.passed = 0
        self.forwarded = 0
        self.received = 0
        self.pooled = 0

    @property
    def in_flight(self) -> int:
        """Bytes that the broker may have to hold for this stream."""
        return self.passed - self.received


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

    def forward(self, flow: Flow, offset: int, count: int) -> bool:
        """Account for a piece; False when it is a duplicate, which must not go on.

        The receiver would ignore a duplicate, but what is sent twice is held twice.

        Raises:
            ProtocolError: the sender has gone beyond what it was told.
        """
        if offset < flow.forwarded:
            return False
        if offset + count > flow.passed:
            raise ProtocolError(
                f"DATA up to {offset + count}, beyond the limit of {flow.passed}"
            )
        flow.forwarded = offset + count
        return True

    def _extend(self, flow: Flow) -> bool:
        """Raise what is passed as far as the pool and the flow's part allow."""
        fair = min(SHARE_BYTES_MAX, self.pool_bytes // max(1, self.flows))
        free = self.pool_bytes - self.pooled + flow.pooled
        share = self.floor_bytes + min(fair, free)
        passed = max(flow.passed, min(flow.limit, flow.received + share))
        raised = passed > flow.passed
        flow.passed = passed
        pooled = max(0, flow.in_flight - self.floor_bytes)
        self.pooled += pooled - flow.pooled
        flow.pooled = pooled
        return raised

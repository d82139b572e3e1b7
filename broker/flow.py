"""Credit as absolute byte offsets, seen from a stream's two ends.

Pure and role-neutral; PROTOCOL.md section 6.4 is the specification. Absolute offsets
make a CREDIT idempotent: a lost, late or repeated one does no harm, as it would with
increments.
"""

from __future__ import annotations

from ..drivers.errors import DataLossError, ProtocolError

ACK_BYTES_MIN = 262_144
"""A receiver reports, even when nobody waits for it, after half of its window, but not
after less than this: each report costs as much as a piece."""
ACK_BYTES_MAX = 2_097_152
"""It does after this at the latest: a broker holds four times as much of a stream."""
WINDOW_BYTES = 4_194_304
"""How far ahead of what was consumed a receiver lets the sender run."""
ALIGNED_BYTES = 1_048_576
"""High limits are multiples of it."""


def aligned(limit: int, ahead: int) -> int:
    """A limit that cuts no piece in two, or the same where that would cost too much.

    Senders cut their pieces at multiples of `ALIGNED_BYTES`. At any other limit a part
    of one goes out, which costs as much as a whole one.

    Args:
        limit: up to where bytes may be sent.
        ahead: how far that is beyond what has arrived.
    """
    return limit - limit % ALIGNED_BYTES if ahead >= 2 * ALIGNED_BYTES else limit


class Outflow:
    """The sending end: how much was sent, and how far it may go.

    Attributes:
        sent: bytes sent so far, which is the offset of the next piece.
        limit: bytes may be sent below this offset.
        received: bytes that the receiver has reported.
    """

    __slots__ = ("limit", "received", "sent")

    def __init__(self, limit: int = 0) -> None:
        self.sent = 0
        self.limit = limit
        self.received = 0

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        return max(0, self.limit - self.sent)

    def send(self, count: int) -> int:
        """Account for a piece and return its offset. The caller has checked `room`."""
        if count > self.limit - self.sent:
            raise AssertionError(f"{count} bytes above the credit of {self.room}")
        offset = self.sent
        self.sent += count
        return offset

    def catch_up(self, sent: int) -> None:
        """So far the stream has got by a lane, without this account."""
        self.sent = max(self.sent, sent)
        self.limit = max(self.limit, self.sent)

    def credit(self, received: int, limit: int) -> None:
        """Take a CREDIT (or the limit of an ACCEPT); limits never shrink.

        Raises:
            ProtocolError: more is reported received than was sent.
        """
        if received > self.sent:
            raise ProtocolError(f"CREDIT for {received} bytes; {self.sent} were sent")
        self.received = max(self.received, received)
        self.limit = max(self.limit, limit)


class Inflow:
    """The receiving end: what has arrived, what was consumed, and what was granted.

    Args:
        window: bytes that may be under way or waiting here beyond what was consumed.

    Attributes:
        received: bytes that have arrived, which is the offset that is due next.
        consumed: bytes that were taken on.
        limit: what the sender was last told.
        ack_bytes: bytes that have arrived after which that is reported.
    """

    __slots__ = (
        "ack_bytes",
        "consumed",
        "limit",
        "received",
        "reported",
        "wanted",
        "window",
    )

    def __init__(self, window: int = WINDOW_BYTES) -> None:
        self.window = window
        self.received = 0
        self.consumed = 0
        self.reported = 0
        self.limit = window
        self.ack_bytes = max(ACK_BYTES_MIN, min(window // 2, ACK_BYTES_MAX))
        self.wanted = False

    def accept(self, offset: int, count: int, want: bool = False) -> bool:
        """Take a piece that has arrived; False when it is a duplicate to ignore.

        Raises:
            DataLossError: there is a gap before it.
            ProtocolError: it goes beyond the limit.
        """
        if offset > self.received:
            raise DataLossError(
                f"bytes {self.received} to {offset} of the stream are missing"
            )
        if offset < self.received:
            return False
        if offset + count > self.limit:
            raise ProtocolError(
                f"DATA up to {offset + count}, beyond the limit of {self.limit}"
            )
        self.received += count
        self.wanted = self.wanted or want
        return True

    def catch_up(self, received: int, consumed: int) -> None:
        """So far the stream has got by a lane, without this account."""
        self.received = max(self.received, received)
        self.consumed = max(self.consumed, consumed)

    def consume(self, count: int) -> None:
        """Account for bytes that the application or driver has taken."""
        self.consumed += count

    def credit_due(self) -> bool:
        """Whether a CREDIT should be sent now."""
        if self.wanted or self.received - self.reported >= self.ack_bytes:
            return True
        grant = self.consumed + self.window - self.limit
        return grant >= self.window // 2

    def credit(self) -> tuple[int, int]:
        """The `(received, limit)` of the CREDIT that is being sent."""
        self.wanted = False
        self.reported = self.received
        limit = aligned(self.consumed + self.window, self.window)
        self.limit = max(self.limit, limit)
        return self.received, self.limit

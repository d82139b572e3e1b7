"""A message as one packet: the form that it has at a worker's side socket.

Pure and role-neutral; PROTOCOL.md section 9.2 is the specification. What ZeroMQ sends
as two frames lies in a packet one behind the other.
"""

from __future__ import annotations

from typing import NamedTuple

from ..drivers.errors import ProtocolError
from .messages import INLINE_BYTES_MAX
from .wire import HEADER_BYTES, MAP_BYTES_MAX, Message, Payload, decode, encode

PACKET_BYTES_MAX = HEADER_BYTES + MAP_BYTES_MAX + INLINE_BYTES_MAX
"""No call that is larger goes by a call lane."""
BUDGET_MS_MAX = 1_000
"""What a call may take at most: a call lane is for quick ones."""
CLOCK_S_MAX = 0.5
"""So much later than now nobody has sent anything, unless clocks differ."""
_MAP_LENGTH = slice(8, 12)
"""Where a head says how long its map is."""


class Span(NamedTuple):
    """When a call was sent and is given up, on the host's monotonic clock, in seconds.

    Client and worker read the same clock, so that a worker that stood still knows that
    a call has grown old, and its client may have had it done elsewhere.
    """

    sent: float
    expires: float

    @classmethod
    def of(cls, opened: Message) -> Span:
        """What an OPEN on a call lane says of it.

        Raises:
            ProtocolError: it says nothing, or more than is allowed.
        """
        if not 0 < opened.budget_ms <= BUDGET_MS_MAX:
            raise ProtocolError(f"a call by a lane with {opened.budget_ms} ms")
        sent = opened.offset / 1_000_000
        return cls(sent, sent + opened.budget_ms / 1_000)


def to_packet(message: Message) -> list[Payload]:
    """The parts of a packet, to be sent together.

    Raises:
        ProtocolError: they are above the limit.
    """
    parts = encode(message)
    size = sum(map(len, parts))
    if size > PACKET_BYTES_MAX:
        raise ProtocolError(f"a packet of {size} bytes; limit {PACKET_BYTES_MAX}")
    return parts


def from_packet(packet: bytes) -> Message:
    """The message in a packet.

    Raises:
        ProtocolError: says which rule is broken; never anything else.
    """
    if not HEADER_BYTES <= len(packet) <= PACKET_BYTES_MAX:
        raise ProtocolError(
            f"a packet has {HEADER_BYTES} to {PACKET_BYTES_MAX} bytes, "
            f"not {len(packet)}"
        )
    end = HEADER_BYTES + int.from_bytes(packet[_MAP_LENGTH])
    if end >= len(packet):
        return decode([packet], from_broker=False)
    return decode([packet[:end], packet[end:]], from_broker=False)

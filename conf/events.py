"""supervisord's side of an event listener: every event is acknowledged at once.

The listener works by a clock of its own, since supervisord drops events when a listener
is slow, and for ever stops sending them after one stray byte on standard output. What
the channel tells for certain is that supervisord is gone: it ends.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

READY = b"READY\n"
DONE = b"RESULT 2\nOK"
HEADER_BYTES_MAX = 4_096
PAYLOAD_BYTES_MAX = 1_048_576


def claim_stdout() -> BinaryIO:
    """Take standard output for the protocol; what is printed goes to standard error.

    Returns:
        The channel to supervisord, unbuffered.
    """
    sys.stdout.flush()
    channel = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(channel, "wb", buffering=0)


def acknowledge(reading: BinaryIO, writing: BinaryIO) -> int:
    """Answer events until supervisord closes the channel.

    Args:
        reading: where events come from.
        writing: where answers go.

    Returns:
        How many events there were.

    Raises:
        ValueError: what arrived is no event.
    """
    count = 0
    try:
        while True:
            writing.write(READY)
            header = reading.readline(HEADER_BYTES_MAX)
            if not header:
                return count
            if not _skip(reading, _payload_bytes(header)):
                return count
            writing.write(DONE)
            count += 1
    except BrokenPipeError:
        return count


def _payload_bytes(header: bytes) -> int:
    for token in header.split():
        name, _, value = token.partition(b":")
        if name == b"len" and value.isdigit():
            return int(value)
    raise ValueError(f"supervisord sent {header[:100]!r}, which is no event's header")


def _skip(reading: BinaryIO, count: int) -> bool:
    """Read a payload and drop it; False when it ends early."""
    if count > PAYLOAD_BYTES_MAX:
        raise ValueError(f"supervisord sent an event of {count} bytes")
    return len(reading.read(count)) == count

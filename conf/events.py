"""supervisord's side of an event listener: every event is acknowledged at once.

The listener works by a clock of its own, since supervisord drops events when a listener
is slow, and for ever stops sending them after one stray byte on standard output. What
the channel tells for certain is that supervisord is gone: it ends.
"""

from __future__ import annotations

import os
import sys
from io import FileIO

READY = b"READY\n"
DONE = b"RESULT 2\nOK"
HEADER_BYTES_MAX = 4_096
PAYLOAD_BYTES_MAX = 1_048_576


def claim_channel() -> tuple[FileIO, FileIO]:
    """Take standard input and output for the protocol.

    What is printed from now on goes to standard error. Both are without a buffer: its
    lock, held by a thread that reads, would abort the process at its end.

    Returns:
        Where events come from, and where answers go.
    """
    sys.stdout.flush()
    channel = FileIO(os.dup(0), "rb"), FileIO(os.dup(1), "wb")
    os.dup2(2, 1)
    return channel


def acknowledge(reading: FileIO, writing: FileIO) -> int:
    """Answer events until supervisord closes the channel.

    Args:
        reading: where events come from; not buffered.
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


def _skip(reading: FileIO, count: int) -> bool:
    """Read a payload and drop it; False when it ends early."""
    if count > PAYLOAD_BYTES_MAX:
        raise ValueError(f"supervisord sent an event of {count} bytes")
    while count:
        piece = reading.read(count)
        if not piece:
            return False
        count -= len(piece)
    return True

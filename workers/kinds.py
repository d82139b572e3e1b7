"""Which kind of stream an operation is."""

from __future__ import annotations

from ..broker.messages import DOWNLOADS, LANE_MEMORY, UPLOADS, Operation
from ..drivers.errors import UnsupportedMethodError
from .call_jobs import CALLS
from .calls import Call
from .downloads import Download
from .streams import Arrival, Desk, Stream
from .uploads import UPLOAD_WINDOW_BYTES_MAX, UPLOAD_WINDOW_BYTES_MIN, Upload

UPLOADS_BYTES = 25_165_824
"""Bytes that all uploads may hold together before their windows get smaller."""


def make_stream(
    desk: Desk, arrival: Arrival, chunk_bytes_max: int, open_streams: int
) -> Stream:
    """The machine for an OPEN.

    Args:
        desk: the worker's machine.
        arrival: the OPEN.
        chunk_bytes_max: largest payload that its broker takes.
        open_streams: how many the worker has open.

    Raises:
        UnsupportedMethodError: the operation is unknown here.
    """
    operation = arrival.opened.code
    if operation in CALLS:
        return Call(desk, arrival)
    if operation in DOWNLOADS:
        return Download(desk, arrival, chunk_bytes_max)
    if operation in UPLOADS:
        return Upload(desk, arrival, _window(arrival, open_streams))
    try:
        name = Operation(operation).name.lower()
    except ValueError:
        name = f"operation {operation}"
    raise UnsupportedMethodError(f"a worker has no {name}")


def _window(arrival: Arrival, open_streams: int) -> int:
    if LANE_MEMORY in arrival.lanes:
        return arrival.lane_bytes  # the ring is the window
    fair = UPLOADS_BYTES // (open_streams + 1)
    return max(UPLOAD_WINDOW_BYTES_MIN, min(fair, UPLOAD_WINDOW_BYTES_MAX))

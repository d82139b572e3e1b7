"""A small world: the product's sizes, made smaller, so that a few kilobytes pass
through all that a gigabyte would."""

from __future__ import annotations

from types import ModuleType

from storagebus.broker import flow
from storagebus.client import downloads, handles, replay, uploads
from storagebus.workers import downloads as worker_downloads
from storagebus.workers import kinds

SIZES: tuple[tuple[ModuleType, str, object], ...] = (
    (flow, "ACK_BYTES_MIN", 1_024),
    (downloads, "READ_WINDOW_BYTES", 4_096),
    (downloads, "READ_WINDOW_BYTES_MIN", 1_024),
    (downloads, "AHEAD_BYTES_MAX", 16_384),
    (uploads, "COALESCE_BYTES", 700),
    (uploads, "CHUNK_BYTES_MAX", 2_000),
    (replay, "REPLAY_BYTES_MAX", 8_000),
    (replay, "REPLAY_BYTES_MIN", 2_000),
    (replay, "REPLAY_BYTES_TOTAL", 16_000),
    (handles, "REPORT_BYTES", 1_024),
    (handles, "SEND_AHEAD_BYTES_MAX", 2_048),
    (worker_downloads, "PIECE_BYTES", (256, 512, 2_048)),
    (kinds, "UPLOAD_WINDOW_BYTES_MAX", 4_096),
    (kinds, "UPLOAD_WINDOW_BYTES_MIN", 1_024),
    (kinds, "UPLOADS_BYTES", 16_384),
)

_before: list[tuple[ModuleType, str, object]] = []


def shrink() -> None:
    """Make the sizes small, in this process."""
    if _before:
        return
    for module, name, value in SIZES:
        _before.append((module, name, getattr(module, name)))
        setattr(module, name, value)


def restore() -> None:
    """Make them what they were."""
    while _before:
        module, name, value = _before.pop()
        setattr(module, name, value)

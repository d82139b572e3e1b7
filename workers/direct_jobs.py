"""The jobs of calls that came by a call lane: those of `call_jobs`, and downloads whose
answer is one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..broker.messages import (
    INLINE_BYTES_MAX,
    LANE_FILE,
    PAGE_BYTES_MAX,
    Open,
    Operation,
)
from ..drivers.contract import StorageDriver
from ..drivers.errors import Executed, TooLargeError
from .download_jobs import SOURCES
from .lanes import Offer

DIRECT_DOWNLOADS: Mapping[int, int] = {
    Operation.READ: INLINE_BYTES_MAX + 1,
    Operation.LIST: PAGE_BYTES_MAX,
}
"""Downloads that may come by a call lane, with the bytes to read: of an object one more
than fits, as only a read that is short shows its end."""


class Whole(NamedTuple):
    """All of a download.

    Attributes:
        identity: of the object, where there is one.
        payload: its bytes.
        offer: instead of them, the file that they are in.
    """

    identity: str | None
    payload: bytes
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class ReadWhole:
    """Read a download that fits into one message, or have the file that it is in."""

    operation: int
    request: Open

    def run(self, driver: StorageDriver) -> Whole:
        source = SOURCES[self.operation](driver, self.request)
        try:
            takes_files = LANE_FILE in self.request.lane_kinds
            offer = source.file() if takes_files else None
            if offer is not None:
                return Whole(source.identity, b"", offer)
            pieces, last = source.read(DIRECT_DOWNLOADS[self.operation])
        finally:
            source.close()
        if not last or len(pieces) > 1:
            raise TooLargeError(
                "more than one message holds; read it as a stream",
                path=self.request.path,
                executed=Executed.NO,
            )
        return Whole(source.identity, pieces[0] if pieces else b"")

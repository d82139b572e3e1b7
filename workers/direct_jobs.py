"""The jobs of calls that came by a call lane: those of `call_jobs`, and downloads whose
answer is one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..broker.messages import INLINE_BYTES_MAX, PAGE_BYTES_MAX, Open, Operation
from ..drivers.contract import StorageDriver
from ..drivers.errors import Executed, TooLargeError
from .download_jobs import SOURCES

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
    """

    identity: str | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class ReadWhole:
    """Read a download that fits into one message."""

    operation: int
    request: Open

    def run(self, driver: StorageDriver) -> Whole:
        source = SOURCES[self.operation](driver, self.request)
        try:
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

"""Requests that end worker after worker. Pure.

A broker that loses a worker notes which calls it had begun to answer nothing of, by a
digest of what was asked. Whoever runs the worker's process says how it ended: by a
fault of its own (SEGV, ABRT, an exit), which counts against these calls, or by a
signal from outside, which does not. A call with too many deaths is refused. So the
count holds for all clients that ask the same, however often they ask.

The calls of one lost worker cannot be told apart. So a suspect gets a worker on which
no other suspect is: an innocent one is cleared by its answer, and the guilty one is
alone with the next death.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..drivers.errors import ProtocolError
from .wire import Message, pack_map, unpack_map

DEATHS_MAX = 3
"""Workers that a call may end by a fault while they have it."""
UNEXPLAINED_MAX = 8
"""Workers that may be lost with it while nobody says how they ended: then a signal
from outside is possible, and less likely each time."""
REMEMBERED_S = 600.0
"""After so long without another death a call is tried again."""
REMEMBERED_MAX = 10_000
ENDINGS_MAX = 1_000
"""Endings that were told before the loss of the worker was seen."""

_LANE = b"lane"
_LANE_KEYS = frozenset({"lane", "lane_kinds", "lane_window"})


@dataclass(slots=True)
class _Record:
    """What is held against a request.

    Attributes:
        crashes: workers that ended by a fault while they had it.
        unexplained: workers that were lost with it, by their keys.
        last: when the last one was.
    """

    last: float
    crashes: int = 0
    unexplained: set[str] = field(default_factory=set)

    @property
    def deaths(self) -> int:
        return self.crashes + len(self.unexplained)


class Poison:
    """The requests that workers were lost with."""

    def __init__(self) -> None:
        self._records: OrderedDict[bytes, _Record] = OrderedDict()
        self._endings: OrderedDict[str, bool] = OrderedDict()

    def __len__(self) -> int:
        """Requests that something is held against."""
        return len(self._records)

    def lost(self, worker: str, requests: Iterable[bytes], now: float) -> None:
        """A worker was lost.

        Args:
            worker: its key: the cookie of its process, or its id.
            requests: digests of the calls that it had, and had not begun to answer.
            now: the time, in seconds.
        """
        crashed = self._endings.pop(worker, None)
        if crashed is False:
            return
        for digest in requests:
            record = self._records.setdefault(digest, _Record(now))
            record.last = now
            self._records.move_to_end(digest)
            if crashed:
                record.crashes += 1
            else:
                record.unexplained.add(worker)
        while len(self._records) > REMEMBERED_MAX:
            self._records.popitem(last=False)

    def returned(self, worker: str) -> None:
        """A worker is back: it had lost its connection, and not its life."""
        self._explain(worker, crashed=False)

    def ended(self, worker: str, *, crashed: bool) -> None:
        """Somebody knows how a worker's process ended.

        Args:
            worker: its key.
            crashed: whether it was a fault of its own.
        """
        if not self._explain(worker, crashed=crashed):
            self._endings[worker] = crashed
            if len(self._endings) > ENDINGS_MAX:
                self._endings.popitem(last=False)

    def _explain(self, worker: str, *, crashed: bool) -> bool:
        """Enter an ending; False when the loss of that worker was not seen."""
        known = False
        for digest, record in list(self._records.items()):
            if worker not in record.unexplained:
                continue
            known = True
            record.unexplained.discard(worker)
            record.crashes += crashed
            if not record.deaths:
                del self._records[digest]
        return known

    def deaths(self, digest: bytes, now: float) -> int:
        """How many workers were lost with a request; 0 for one that is trusted."""
        self._forget_old(now)
        record = self._records.get(digest)
        return 0 if record is None else record.deaths

    def is_poison(self, digest: bytes) -> bool:
        """Whether a request must not get another worker."""
        record = self._records.get(digest)
        if record is None:
            return False
        return (
            record.crashes >= DEATHS_MAX or len(record.unexplained) >= UNEXPLAINED_MAX
        )

    def clear(self, digest: bytes) -> None:
        """A worker has answered the request."""
        self._records.pop(digest, None)

    def _forget_old(self, now: float) -> None:
        """Those of the longest time without a death come first."""
        while self._records:
            digest, record = next(iter(self._records.items()))
            if now - record.last <= REMEMBERED_S:
                return
            del self._records[digest]


def digest_of(service: str, opened: Message) -> bytes:
    """What two equal requests have in common, whoever asks."""
    made = hashlib.blake2b(digest_size=16)
    asked = _without_lanes(opened.fields)
    for part in (service.encode(), opened.code.to_bytes(2), asked):
        made.update(len(part).to_bytes(4))
        made.update(part)
    made.update(bytes(opened.payload))
    return made.digest()


def _without_lanes(fields: bytes) -> bytes:
    """A map without the ways that a client takes for the bytes: those may differ each
    time that it asks the same."""
    if _LANE not in fields:
        return fields
    try:
        asked = unpack_map(fields)
        return pack_map({key: asked[key] for key in asked if key not in _LANE_KEYS})
    except ProtocolError:
        return fields

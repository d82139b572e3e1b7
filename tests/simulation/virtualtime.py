"""The clock of driver work: the worker's, not the machine's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storagebus.drivers import standing
from storagebus.workers import jobs, sources

_READERS = (jobs, sources, standing)
"""The modules that look at the clock while driver work runs."""


class _Clock:
    """What those modules find in place of `time`."""

    def __init__(self) -> None:
        self.monotonic: Callable[[], float] = time.monotonic


_clock = _Clock()


def install() -> None:
    """From now on, in this process, driver work looks at virtual clocks."""
    for module in _READERS:
        module.time = _clock  # type: ignore[attr-defined]


def remove() -> None:
    """The reverse."""
    for module in _READERS:
        module.time = time  # type: ignore[attr-defined]


@contextmanager
def of(now: Callable[[], float]) -> Iterator[None]:
    """Let what runs meanwhile look at this clock."""
    before, _clock.monotonic = _clock.monotonic, now
    try:
        yield
    finally:
        _clock.monotonic = before

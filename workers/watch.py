"""Noticing that an executable was replaced, so that its processes can be too."""

from __future__ import annotations

from pathlib import Path

SETTLE_S = 1.0
"""A new file must have stayed as it is so long: an installer may still be writing."""


class ExecutableWatch:
    """Watches one file by its identity and times.

    Args:
        path: the executable; a link is followed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._known = _state(path)
        self._new: tuple[int, ...] | None = None
        self._since = 0.0

    def changed(self, now: float) -> bool:
        """Whether another file has come to stay; True once for each."""
        state = _state(self.path)
        if state is None or state == self._known:
            self._new = None  # gone for the moment, or back as it was
            return False
        if state != self._new:
            self._new = state
            self._since = now
            return False
        if now - self._since < SETTLE_S:
            return False
        self._known, self._new = state, None
        return True


def _state(path: str) -> tuple[int, ...] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

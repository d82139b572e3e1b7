"""A lock on an open file that its process cannot outlive, waited for within a bound."""

from __future__ import annotations

import fcntl
import time

from .errors import Executed, UnavailableError

LOCK_SECONDS_MAX = 5.0
_PAUSE_SECONDS = (0.001, 0.05)


class Locked:
    """A `with` block that holds the lock on an upload's file.

    Args:
        descriptor: the upload's file.
        path: the object's path, for the error.

    Raises:
        UnavailableError: another has held it for `LOCK_SECONDS_MAX`.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path

    def __enter__(self) -> None:
        ends = time.monotonic() + LOCK_SECONDS_MAX
        pause_s, longest_s = _PAUSE_SECONDS
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= ends:
                    raise UnavailableError(
                        f"another writer has held the upload for {LOCK_SECONDS_MAX} s",
                        path=self._path,
                        executed=Executed.NO,
                    ) from None
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def __exit__(self, *_: object) -> None:
        # Explicitly, since a child that is just being spawned may share the file.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

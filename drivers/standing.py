"""Whether an operation may still take effect, asked right before it would be seen.

A worker that stood still, or was cut off, finds itself in the middle of a put whose
caller has long had it done by another worker, and perhaps written something newer
since. If the late one went on, it would bring the older content back. So a driver
calls `check_standing` before the step that makes a put, move or delete visible, as a
rename does; from there on it goes through with it. What takes several such steps, or
sends a request again, asks before each. So does a commit: a claim fences off the former
writer of the same upload, but not that of an earlier one which was given up.

To be called in the thread that runs the operation. In a process where nobody can lose
an operation, it does nothing.
"""

from __future__ import annotations

import threading
import time
from math import inf

from .errors import DeadlineExceededError, Executed, StorageError, UnavailableError

LEASE_S = 3.0
"""How long a worker that hears nothing may take its session for sound. Others take it
for lost after 4 s: ZMTP's heartbeat in PROTOCOL.md section 5.3."""


def lease_s(heartbeat_s: float) -> float:
    """How long a word is good for, of a broker that may be silent for so long."""
    return max(LEASE_S, 2 * heartbeat_s + 1)


class Lease:
    """The right to work for a session: as long as its other side is heard.

    One that has run out is never renewed: what stood still while it did must not take
    the word that arrives then for its own.

    Args:
        heard: when the other side was heard last, on the monotonic clock, in seconds.
        length_s: how long that is good for.
    """

    __slots__ = ("_heard", "_length_s")

    def __init__(self, heard: float, length_s: float = LEASE_S) -> None:
        self._heard = heard
        self._length_s = length_s

    def silent_s(self, now: float) -> float:
        """Seconds of silence, if they are too many; else 0."""
        silent = now - self._heard
        return silent if silent > self._length_s else 0.0

    def renewed(self, now: float) -> Lease:
        """The lease when the other side is heard: this one, or if it has run out
        another, for what begins from now on."""
        if self.silent_s(now):
            return Lease(now, self._length_s)
        self._heard = now
        return self


class Standing:
    """What one operation stands on. One thread looks, another may revoke it.

    Args:
        lease: of the session that it came by.
        expires: when its caller has given it up, on the same clock.

    Attributes:
        begun: whether a step that can be seen may have been taken.
    """

    __slots__ = ("_lease", "_revoked", "begun", "expires")

    def __init__(self, lease: Lease, expires: float = inf) -> None:
        self._lease = lease
        self._revoked: StorageError | None = None
        self.begun = False
        self.expires = expires

    def revoke(self, error: StorageError) -> None:
        """It must not take effect any more, for this reason."""
        self._revoked = error

    def objection(self, now: float) -> StorageError | None:
        """Why it must not take effect, if so."""
        if self._revoked is not None:
            return self._revoked
        if now >= self.expires:
            return DeadlineExceededError(
                "the call's time ran out before it took effect", executed=Executed.NO
            )
        silent = self._lease.silent_s(now)
        if silent:
            return UnavailableError(
                f"the worker has heard nothing for {silent:.1f} s; others may have "
                "done this meanwhile",
                executed=Executed.NO,
            )
        return None


class _Current(threading.local):
    standing: Standing | None = None


_current = _Current()


def check_standing() -> None:
    """The operation in this thread is about to take effect, or to go on with that.

    Raises:
        StorageError: it must not. The operation has had no effect, or, when it was
            let through here before, `executed` says that it may have had some.
    """
    standing = _current.standing
    if standing is None:
        return
    error = standing.objection(time.monotonic())
    if error is None:
        standing.begun = True
        return
    if standing.begun:
        error.executed = Executed.MAYBE
    raise error


def remaining_s() -> float:
    """Seconds until the caller of the operation in this thread gives it up, below 0
    when it has; endless when it does not say."""
    standing = _current.standing
    return inf if standing is None else standing.expires - time.monotonic()


class standing_on:
    """What this thread does meanwhile stands on this; None for nothing.

    Args:
        standing: it.
    """

    __slots__ = ("_before", "_standing")

    def __init__(self, standing: Standing | None) -> None:
        self._standing = standing

    def __enter__(self) -> None:
        self._before, _current.standing = _current.standing, self._standing

    def __exit__(self, *_: object) -> None:
        _current.standing = self._before

"""Descriptors that belong to this process alone, and to no process forked from it.

A child learns from the end of a pipe that its parent is gone. That fails as soon as
any other process holds the writing end: close-on-exec keeps programs from it, but a
process that the host program forks (multiprocessing, a pre-forking server) would
inherit it. So what is opened here is closed in every forked process.
"""

from __future__ import annotations

import os
import threading

_lock = threading.Lock()
_own: set[int] = set()


def open_pipe() -> tuple[int, int]:
    """A pipe whose two ends no other process inherits: (reading end, writing end).

    Raises:
        OSError: there are no descriptors left.
    """
    with _lock:
        ends = os.pipe()
        _own.update(ends)
    return ends


def open_pidfd(pid: int) -> int:
    """A descriptor for a process, which no other process inherits.

    Raises:
        ProcessLookupError: there is no such process.
    """
    with _lock:
        fd = os.pidfd_open(pid)
        _own.add(fd)
    return fd


def close(fd: int) -> None:
    """Close a descriptor from here; harmless in a forked process, and repeated."""
    with _lock:
        if fd in _own:
            _own.discard(fd)
            os.close(fd)


def _forget() -> None:
    """In a forked process: close what is the parent's."""
    for fd in _own:
        try:
            os.close(fd)
        except OSError:
            pass  # the program closed it by its number before; nothing is lost
    _own.clear()
    _lock.release()


# The lock is held across the fork, so that no pipe is half noted in the new process.
os.register_at_fork(
    before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget
)

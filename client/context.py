"""The ZeroMQ context of this process; a forked child makes its own.

It is never terminated: sockets belong to many threads, and the end of a context
must wait for every one of them. An idle one costs one sleeping thread.
"""

from __future__ import annotations

import os
import threading

import zmq

Context = zmq.Context[zmq.Socket[bytes]]

SOCKETS_MAX = 16_384
"""libzmq's default of 1,023 is too few: every connection has two sockets."""

_context: Context | None = None
_lock = threading.Lock()
_parents: list[Context] = []
"""Contexts of parent processes: kept, so that nothing of them is closed here."""


def context() -> Context:
    """The context of this process."""
    global _context
    with _lock:
        if _context is None:
            _context = zmq.Context()
            _context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
        return _context


def _after_fork() -> None:
    global _context, _lock
    _lock = threading.Lock()
    if _context is not None:
        _parents.append(_context)
        _context = None


os.register_at_fork(after_in_child=_after_fork)

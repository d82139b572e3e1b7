"""An SDK's clients and the transfer threads: one set a process, made when needed.

Neither survives a fork: a child that used its parent's sockets or threads would hang
or mix replies up. So they belong to a process id, and a child makes its own.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

CALLERS_CONNECTIONS = 224
"""Connections for calls of the driver's callers, besides one a transfer thread: kept
are only those that were ever needed at once."""

_T = TypeVar("_T")


def silence(*names: str) -> None:
    """Keep an SDK's loggers from telling of each request.

    At DEBUG they show headers and URLs, and with them tokens, keys and signatures. A
    logger that somebody has given a level of its own keeps it.

    Args:
        names: of the loggers.
    """
    for name in names:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


class Clients:
    """What talks to the store, made at the first call in each process.

    Args:
        threads_max: transfers at once.
        name: of the threads.
    """

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._made: dict[str, Any] = {}
        self._threads: ThreadPoolExecutor | None = None

    def one(self, kind: str, make: Callable[[], Any]) -> Any:
        """This process's client of a kind, made when it is first asked for."""
        if self._pid != os.getpid():
            self._renew()
        found = self._made.get(kind)
        if found is None:
            with self._lock:
                if kind not in self._made:
                    self._made[kind] = make()
                found = self._made[kind]
        return found

    def submit(self, call: Callable[..., _T], *args: Any) -> Future[_T]:
        """Run a transfer on one of the threads."""
        if self._pid != os.getpid():
            self._renew()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._threads_max, self._name)
            return self._threads.submit(call, *args)

    def close(self) -> None:
        """End the threads, after the transfers under way, and the connections."""
        if self._pid != os.getpid():
            return
        with self._lock:
            threads, self._threads = self._threads, None
            made, self._made = self._made, {}
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)
        for client in made.values():
            client.close()

    def _renew(self) -> None:
        # A lock that was held at the fork would stay locked for ever in the child.
        self._lock = threading.Lock()
        self._made = {}
        self._threads = None
        self._pid = os.getpid()

"""How workers' processes ended, told to the brokers that lost them.

The broker sees that a worker is gone; whether it was a fault of its own only its parent
can say, and a call that ends worker after worker is found out by that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

from ..drivers.errors import StorageError
from ..workers.children import ChildEnded, Ending, Notice

if TYPE_CHECKING:
    from ..client import Client

WAITING_MAX = 1_000
"""Endings that wait to be told; more are dropped."""
CLOSE_S_MAX = 2.0

log = logging.getLogger("storagebus.up")


class Obituaries:
    """Tells of every end that was not asked for, from a thread of its own.

    Args:
        clients: one of each broker, with short deadlines.
    """

    def __init__(self, clients: Iterable[Client]) -> None:
        self._clients = list(clients)
        self._queue: Queue[Ending | None] = Queue(WAITING_MAX)
        self._thread = threading.Thread(
            target=self._run, name="storagebus-obituaries", daemon=True
        )
        self._thread.start()

    def on_change(self, notice: Notice) -> None:
        """Hear of a child; called from the manager's thread, which must not wait."""
        if isinstance(notice, ChildEnded) and notice.is_news:
            self._put(notice.ending)

    def close(self) -> None:
        """Tell no more."""
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            self._put(None)
        self._thread.join(CLOSE_S_MAX)

    def _put(self, ending: Ending | None) -> None:
        try:
            self._queue.put_nowait(ending)
        except Full:
            log.warning("too many processes have ended to tell the brokers of each")

    def _run(self) -> None:
        while (ending := self._queue.get()) is not None:
            for client in self._clients:
                try:
                    client.report_ending(ending.cookie, crashed=ending.by_fault)
                except StorageError as error:
                    log.debug("a broker was not told of an ending: %s", error)

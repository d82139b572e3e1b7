"""Every call of a client against the clock: late ones, and those that never end."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Awaitable
from itertools import count
from typing import TypeVar

from storagebus.drivers.errors import PathNotFoundError, StorageError

from .ledger import Ledger

LOOK_S = 0.5
STACK_LINES_MAX = 60
T = TypeVar("T")


class Calls:
    """The calls under way in this process.

    Args:
        ledger: where they are noted.
        deadline_s: that the client was given.
        slack_s: how much longer a call may take on a loaded machine.
    """

    def __init__(self, ledger: Ledger, deadline_s: float, slack_s: float) -> None:
        self.ledger = ledger
        self._most_s = deadline_s + slack_s
        self._numbers = count()
        self._running: dict[int, tuple[float, str, str, int]] = {}
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    async def timed(self, what: str, path: str, call: Awaitable[T]) -> T:
        """Wait for a call.

        Raises:
            StorageError: it failed, which is noted, unless nothing was found.
        """
        number = next(self._numbers)
        began = time.time()
        self._running[number] = began, what, path, threading.get_ident()
        try:
            return await call
        except PathNotFoundError:
            raise
        except StorageError as error:
            self.ledger.note(
                "failure",
                what=what,
                path=path,
                error=type(error).__name__,
                executed=error.executed.value,
                detail=str(error)[:300],
                began=began,
                ended=time.time(),
            )
            raise
        finally:
            del self._running[number]
            took = time.time() - began
            if took > self._most_s:
                self.ledger.note("late", what=what, path=path, seconds=round(took, 2))

    def _watch(self) -> None:
        told: set[int] = set()
        while True:
            time.sleep(LOOK_S)
            for number, (began, what, path, thread) in list(self._running.items()):
                if time.time() - began > self._most_s and number not in told:
                    told.add(number)
                    frame = sys._current_frames().get(thread)
                    stack = traceback.format_stack(frame)[-STACK_LINES_MAX:]
                    self.ledger.note("hanging", what=what, path=path, stack=stack)

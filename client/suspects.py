"""Calls that got no answer by a call lane, and so may be what ends workers.

The broker counts the workers that a call ends, and refuses it in the end (`poison` in
the broker's room); of calls by lanes it sees nothing. So what got no answer goes by the
bus from then on, until it gets one there: a call costs a client one worker more than
the broker allows, however often it is repeated.
"""

from __future__ import annotations

from collections import OrderedDict

SUSPECT_S_MAX = 600.0
"""For so long; the broker forgets it then, too."""
SUSPECTS_MAX = 1_000

Asked = tuple[int, str]
"""An operation, and the path."""


class Suspects:
    """Those of one client; threads share it, and lose one of them at the worst."""

    def __init__(self) -> None:
        self._until: OrderedDict[Asked, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, asked: Asked, now: float) -> None:
        """This call got no answer."""
        self._until[asked] = now + SUSPECT_S_MAX
        while len(self._until) > SUSPECTS_MAX:
            self._until.popitem(last=False)

    def has(self, asked: Asked, now: float) -> bool:
        """Whether such a call is to go by the bus."""
        until = self._until.get(asked)
        return until is not None and now < until

    def clear(self, asked: Asked) -> None:
        """The bus had an answer."""
        self._until.pop(asked, None)

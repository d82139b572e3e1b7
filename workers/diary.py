"""What the manager logs of its children: each thing once.

What a child wrote is in the log already, by `output`. A child that cannot start says so
in its last line, time after time; that line is told once, and again when it changes.
"""

from __future__ import annotations

import logging

from .children import ChildEnded, ChildReady, ChildStarted, GaveUp, Notice, Rolled
from .exits import Exit
from .logs import gist

_log = logging.getLogger("storagebus.manager")


class Diary:
    """Logs the notices of a manager."""

    def __init__(self) -> None:
        self._failures: dict[str, str] = {}  # of starts, by pool

    def note(self, notice: Notice) -> None:
        """Log a notice."""
        match notice:
            case ChildStarted(name, child, pid):
                _log.info("%s: process %d started as pid %d", name, child, pid)
            case ChildReady(name, child):
                self._failures.pop(name, None)
                _log.info("%s: process %d is ready", name, child)
            case ChildEnded(name, child, expected=True, what=what):
                _log.info("%s: process %d %s, as asked", name, child, what)
            case ChildEnded(name, child):
                self._note_end(name, child, notice)
            case GaveUp(name, reason, whole_pool=True):
                # Whoever runs the manager has to end for it, and says why.
                _log.info("%s: given up: %s", name, reason)
            case GaveUp(name, reason):
                _log.error("%s: given up: %s", name, reason)
            case Rolled(name, error):
                _log.info("%s: rolling restart %s", name, error or "done")
            case _:
                pass

    def _note_end(self, name: str, child: int, ended: ChildEnded) -> None:
        level = logging.WARNING
        if not ended.was_ready:
            failure = gist(ended.summary)
            if self._failures.get(name) == failure:
                level = logging.INFO
            self._failures[name] = failure
        if ended.ending.code == Exit.STORE:
            why = ended.ending.last_line.removeprefix("storagebus: ")
            _log.log(level, "%s: %s; it is tried again", name, why)
        else:
            _log.log(level, "%s: process %d %s", name, child, ended.summary)

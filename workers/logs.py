"""Log lines between a worker process and its parent: with their level, said once.

A child writes to stdout and stderr, and the parent puts each line into its own log,
with time and name. So where the parent asks for it, a line begins with its level alone,
as `<4>` for a warning: the numbers are syslog's, as systemd reads them too.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import TextIO

LOG_VARIABLE = "STORAGEBUS_WORKER_LOG"
WITH_LEVELS = "syslog"
"""Value of the variable: the parent reads levels."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""A line for which no parent adds what is missing."""
_OWN = "storagebus."

_NUMBERS = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}
_LEVELS = {
    "0": logging.CRITICAL,
    "1": logging.CRITICAL,
    "2": logging.CRITICAL,
    "3": logging.ERROR,
    "4": logging.WARNING,
    "5": logging.INFO,
    "6": logging.INFO,
    "7": logging.DEBUG,
}
_PREFIX = re.compile(r"<([0-7])>")


class LevelFormatter(logging.Formatter):
    """Formats for a parent that reads levels: every line of a record has its own."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        number = _NUMBERS.get(record.levelno // 10 * 10, 4)
        text = super().format(record)
        if not record.name.startswith(_OWN):
            text = f"{record.name}: {text}"
        return "\n".join(f"<{number}>{line}" for line in text.splitlines() or [""])


def configure(
    level: int | str = logging.INFO,
    format_: str = FORMAT,
    *,
    chat: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Log as the parent wants it; without effect where logging is set up already.

    Args:
        level: the lowest that is logged.
        format_: of a line, when no parent reads levels.
        chat: where all below a warning goes, so that a parent which takes stderr for
            what went wrong finds just that there; None for stderr too.
        environ: where the parent's wish is; None for this process's environment.
    """
    told = os.environ if environ is None else environ
    handlers = [logging.StreamHandler()]
    if chat is not None:
        handlers[0].setLevel(logging.WARNING)
        handlers.append(logging.StreamHandler(chat))
        handlers[1].addFilter(lambda record: record.levelno < logging.WARNING)
    with_levels = told.get(LOG_VARIABLE) == WITH_LEVELS
    for handler in handlers:
        handler.setFormatter(
            LevelFormatter() if with_levels else logging.Formatter(format_)
        )
    logging.basicConfig(level=level, handlers=handlers)


def split_level(line: str, level: int) -> tuple[int, str]:
    """The level that a line begins with, and the rest of it.

    Args:
        line: as a child wrote it.
        level: for a line that does not say.
    """
    found = _PREFIX.match(line)
    if found is None:
        return level, line
    return _LEVELS[found[1]], line[found.end() :]


def gist(line: str) -> str:
    """What stays the same when a failure repeats: the line up to its first bracket,
    where stores put the number of the request."""
    return line.partition(" (")[0]

"""What a child writes to stdout and stderr: lines into the log, the last ones kept.

Output is never protocol, so a print in a driver breaks nothing. The manager's thread
only cuts lines and queues them. Another thread hands them to `logging`, whose handlers
may be slow: then lines are dropped and counted, and neither child nor manager waits.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque

from .logs import split_level

LINE_BYTES_MAX = 4_096
TAIL_LINES_MAX = 20
QUEUE_LINES_MAX = 2_000
CLOSE_WAIT_S = 2.0
LOGGER_PREFIX = "storagebus.driver."


class LineCutter:
    """Cuts a stream of bytes into lines; a longer line becomes several.

    Attributes:
        tail: the last `TAIL_LINES_MAX` lines.
    """

    def __init__(self) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES_MAX)
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; returns the lines that they complete, empty ones left out."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines: list[str] = []
        for line in whole:
            lines += self._cut(line)
        while len(self._rest) > LINE_BYTES_MAX:
            lines += self._cut(self._rest[:LINE_BYTES_MAX])
            self._rest = self._rest[LINE_BYTES_MAX:]
        return lines

    def finish(self) -> list[str]:
        """The stream has ended; returns its last line if that has no end."""
        rest, self._rest = self._rest, b""
        return self._cut(rest)

    def _cut(self, line: bytes) -> list[str]:
        line = line.rstrip(b"\r")
        pieces = [
            line[at : at + LINE_BYTES_MAX].decode(errors="backslashreplace")
            for at in range(0, len(line), LINE_BYTES_MAX)
        ]
        self.tail += pieces
        return pieces


class OutputLog:
    """Hands lines to `logging` from a thread of its own, through a bounded queue.

    The logger is `storagebus.driver.NAME`. A line has the level that it begins with
    (see `logs`), else stdout has INFO and stderr WARNING. Every record has the
    attribute `child_pid`.

    Attributes:
        dropped: lines that found the queue full.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._queue: queue.Queue[tuple[str, int, int, str] | None] = queue.Queue(
            QUEUE_LINES_MAX
        )
        self._thread = threading.Thread(
            target=self._run, name="storagebus-output", daemon=True
        )
        self._thread.start()

    def put(self, name: str, level: int, pid: int, lines: list[str]) -> None:
        """Queue lines of a child; those without room are dropped."""
        for line in lines:
            try:
                self._queue.put_nowait((name, level, pid, line))
            except queue.Full:
                self.dropped += 1

    def close(self) -> None:
        """Hand over what is queued, for at most `CLOSE_WAIT_S` seconds."""
        try:
            self._queue.put(None, timeout=CLOSE_WAIT_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_WAIT_S)

    def _run(self) -> None:
        reported = 0
        while (entry := self._queue.get()) is not None:
            name, level, pid, line = entry
            logger = logging.getLogger(LOGGER_PREFIX + name)
            dropped = self.dropped - reported
            if dropped:
                reported += dropped
                logger.warning("%d lines were dropped: logging is slow", dropped)
            level, text = split_level(line, level)
            logger.log(level, "%s[%d]: %s", name, pid, text, extra={"child_pid": pid})

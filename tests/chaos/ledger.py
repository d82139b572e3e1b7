"""What a client was told: the ledger of its writes, and what may be stored after them.

Every write is entered before it is sent and again when its outcome is known. One client
writes a path, so at any time a path holds the version that was acknowledged last, or
one of those whose outcome is unknown since. Each line is a JSON map; a process that is
killed leaves its ledger behind, in which the writes without an outcome are unknown.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .content import content, name_of

LINE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Version:
    """What a path holds after one write.

    Attributes:
        number: of the write, counted for the path.
        origin: path and number of the write that made the bytes; "" for no object.
        size: bytes.
    """

    number: int
    origin: str = ""
    size: int = 0

    def is_read_as(self, data: bytes | None, start: int = 0, end: int | None = None):
        """Whether that is what a read of this version gives; None for not found."""
        if data is None or not self.origin:
            return data is None and not self.origin
        if end is None and len(data) != max(0, self.size - start):
            return False
        if start == 0 and data[:32] != name_of(self.origin)[: len(data)]:
            return False  # quicker than to make all of it
        return data == content(self.origin, self.size)[start:end]


class History:
    """What one path may hold.

    Attributes:
        possible: the versions, oldest first: one that is certain, and then those that
            may have come after it.
        written: all that anybody began to write.
    """

    def __init__(self) -> None:
        self.possible = [Version(0)]
        self.written: list[Version] = []
        self.last = 0

    def next(self, origin: str, size: int) -> Version:
        """A version that is about to be written; "" deletes."""
        self.last += 1
        return Version(self.last, origin, size)

    def done(self, version: Version) -> None:
        """The write was acknowledged."""
        self.last = max(self.last, version.number)
        self.possible = [version]

    def unknown(self, version: Version) -> None:
        """The write failed, and may have run or run yet."""
        self.last = max(self.last, version.number)
        self.possible.append(version)

    def failed(self, version: Version) -> None:
        """The write failed, and did not run."""
        self.last = max(self.last, version.number)

    def seen(
        self, data: bytes | None, start: int = 0, end: int | None = None
    ) -> Version | None:
        """The version that a read gave; None when it gave none that may be there.

        What is older is over then: nothing may bring it back.
        """
        for place, version in enumerate(self.possible):
            if version.is_read_as(data, start, end):
                self.possible = self.possible[place:]
                return version
        return None


class Ledger:
    """The file, for the process that writes it. Safe from several threads.

    Args:
        path: the file; it is appended to.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, LINE_FLAGS, 0o644)
        self._lock = threading.Lock()

    def note(self, event: str, **facts: Any) -> None:
        """Write a line; it survives the process, not the machine."""
        line = json.dumps({"event": event, **facts, "at": time.time()}) + "\n"
        with self._lock:
            os.write(self._fd, line.encode())

    def write(self, event: str, path: str, version: Version) -> None:
        """Note what has become of a write: "begin", then its outcome."""
        self.note(
            event,
            path=path,
            number=version.number,
            origin=version.origin,
            size=version.size,
        )


@dataclass(slots=True)
class Account:
    """All that ledgers say together.

    Attributes:
        histories: by path.
        notes: lines of other kinds, by their kind.
        unsettled: writes without an outcome: those of killed processes.
    """

    histories: dict[str, History] = field(default_factory=dict)
    notes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    unsettled: int = 0

    def count(self, event: str) -> int:
        """How many lines of a kind."""
        return len(self.notes.get(event, ()))


def entries(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The lines of a ledger; the last may be cut off."""
    for line in lines:
        if line.endswith("\n"):
            yield json.loads(line)


def settle(ledgers: Iterable[Path]) -> Account:
    """Read ledgers to their end; writes without an outcome are unknown."""
    account = Account()
    for ledger in ledgers:
        begun: dict[tuple[str, int], Version] = {}
        with ledger.open() as lines:
            for entry in entries(lines):
                event = entry.pop("event")
                del entry["at"]
                if event not in ("begin", "done", "unknown", "failed", "seen"):
                    account.notes.setdefault(event, []).append(entry)
                    continue
                path = entry.pop("path")
                version = Version(**entry)
                history = account.histories.setdefault(path, History())
                if event == "begin":
                    history.written.append(version)
                    begun[path, version.number] = version
                elif event == "seen":
                    _forget_older(history, version)
                else:
                    del begun[path, version.number]
                    getattr(history, event)(version)
        account.unsettled += len(begun)
        for (path, _), version in begun.items():
            account.histories[path].unknown(version)
    return account


def _forget_older(history: History, version: Version) -> None:
    if version in history.possible:
        history.possible = history.possible[history.possible.index(version) :]

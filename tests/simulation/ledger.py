"""What was asked for, what was done, and whether the two agree.

Every write of the simulation has content of its own, or a path of its own, by which
what the store does is known again. A path has one writer, which goes on only when
nothing of its last write can be under way any more (`Ledger.is_settled`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from random import Random

from storagebus.drivers.errors import Executed, StorageError

from .violation import Violation, require


class Kind(Enum):
    """What a write does."""

    PUT = "put"
    COMMIT = "commit"
    MOVE = "move"
    DELETE = "delete"


@dataclass(eq=False)
class Write:
    """One write that an application asked for.

    Attributes:
        kind: what it does.
        path: where; of a move, the destination.
        content: what is to be there, but for a delete.
        may_be_done_until: when the store may do it at the latest.
        source: of a move, where from.
        effects: moments at which the store did it.
        ended: when the application was told how it ended; infinity before.
        fenced_at: when somebody else had claimed the upload that it commits; who has
            claimed it then must be the last to.
        is_excused: whether it cannot know that.
        error: what it was told; None for success.
    """

    kind: Kind
    path: str
    content: bytes | None
    source: str = ""
    may_be_done_until: float = inf
    effects: list[float] = field(default_factory=list)
    ended: float = inf
    fenced_at: float = inf
    is_excused: Callable[[], bool] = lambda: False
    error: StorageError | None = None

    def __str__(self) -> str:
        return f"{self.kind.value} of {self.path}"


class Ledger:
    """All writes, and the states that each path has had.

    Args:
        now: tells the time in the world.
        late_s: how long after its end a write may still be done.
    """

    def __init__(self, now: Callable[[], float], late_s: float) -> None:
        self._now = now
        self._late_s = late_s
        self._count = 0
        self._by_content: dict[bytes, Write] = {}
        self._by_path: dict[tuple[Kind, str], Write] = {}
        self._states: dict[str, list[tuple[float, bytes | None]]] = {}
        self._running: dict[str, int] = {}
        self.writes: list[Write] = []

    # -- what applications ask for --------------------------------------------

    def content(self, size: int) -> bytes:
        """Bytes that nobody else writes."""
        self._count += 1
        body = Random(self._count).randbytes(size)
        return self._count.to_bytes(8) + body

    def begin(self, write: Write) -> Write:
        """An application asks for a write."""
        self.writes.append(write)
        if write.kind in (Kind.PUT, Kind.COMMIT):
            assert write.content is not None
            self._by_content[write.content] = write
        else:
            self._by_path[write.kind, write.path] = write
        return write

    def end(self, write: Write, error: StorageError | None) -> None:
        """An application is told how it ended."""
        write.ended = self._now()
        write.may_be_done_until = write.ended + self._late_s
        write.error = error
        if error is None:
            require(bool(write.effects), f"{write} was acknowledged and never done")
        elif error.executed is Executed.NO:
            require(not write.effects, f"{write} was done and is said not to be")
        elif error.executed is Executed.YES:
            require(bool(write.effects), f"{write} is said to be done and was not")

    def is_settled(self, write: Write) -> bool:
        """Whether nothing of a write can be under way any more."""
        is_idle = not self._running.get(write.path)
        return is_idle and self._now() > write.may_be_done_until

    # -- what workers do ------------------------------------------------------

    def starts(self, path: str) -> None:
        """A worker hands a write to its driver."""
        self._running[path] = self._running.get(path, 0) + 1

    def stops(self, path: str) -> None:
        """The driver has done it, or never will."""
        self._running[path] -= 1

    # -- what the store does --------------------------------------------------

    def stored(self, path: str, content: bytes) -> None:
        """An object was stored."""
        write = self._by_content.get(content)
        require(
            write is not None and write.path == path,
            f"{path} was given {len(content)} bytes that nobody asked for",
        )
        assert write is not None
        self._done(write)
        self._changed(path, content)

    def moved(self, source: str, destination: str, content: bytes) -> None:
        """An object was moved."""
        self._done(self._known(Kind.MOVE, destination))
        self._changed(source, None)
        self._changed(destination, content)

    def deleted(self, path: str) -> None:
        """An object was deleted."""
        self._done(self._known(Kind.DELETE, path))
        self._changed(path, None)

    def _known(self, kind: Kind, path: str) -> Write:
        write = self._by_path.get((kind, path))
        if write is None:
            raise Violation(f"{kind.value} of {path}, which nobody asked for")
        return write

    def _done(self, write: Write) -> None:
        late_s = self._now() - write.may_be_done_until
        require(late_s <= 0, f"{write} is done {late_s:.1f} s after its time")
        is_fenced = self._now() >= write.fenced_at and not write.is_excused()
        require(not is_fenced, f"{write} is done by a writer that was superseded")
        if write.kind is not Kind.PUT:
            require(not write.effects, f"{write} was done twice")
        if write.error is not None:
            said_no = write.error.executed is Executed.NO
            require(not said_no, f"{write} is done after it was said not to be")
        write.effects.append(self._now())

    def _changed(self, path: str, content: bytes | None) -> None:
        self._states.setdefault(path, []).append((self._now(), content))

    # -- what applications see ------------------------------------------------

    def seen(self, path: str, since: float) -> list[bytes | None]:
        """What a path has held at some time since a moment; None for no object."""
        states = self._states.get(path, [])
        before: bytes | None = None
        found: list[bytes | None] = []
        for moment, content in states:
            if moment < since:
                before = content
            else:
                found.append(content)
        return [before, *found]

    def held(self, path: str) -> bytes | None:
        """What a path holds now."""
        states = self._states.get(path)
        return states[-1][1] if states else None

    def paths(self) -> list[str]:
        """All paths that ever held something."""
        return list(self._states)

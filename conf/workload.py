"""What `storagebus bench` does with a store: its objects, and the steps of its threads.

Every byte that is read back is compared with what was written, which costs a twentieth
of what hashing it would. An object's bytes depend on its number and the place, so that
a swapped, repeated or foreign piece shows.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..drivers.contract import StorageDriver
from ..drivers.errors import DataLossError
from .latencies import Latencies

PIECE_BYTES = 1_048_576
"""What a stream reads or writes with one call."""
PIECES = 13
"""Different pieces that objects are made of."""
SMALL_OBJECTS_MAX = 256
"""Small objects of one thread, which it overwrites in turn."""


@dataclass(slots=True)
class Tally:
    """What a thread has done.

    Attributes:
        operations: calls, or pieces of streams.
        size: bytes moved.
        verified: those of them that were read and compared.
        latencies: of the operations.
    """

    operations: int = 0
    size: int = 0
    verified: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def add(self, started: float, size: int, *, verified: bool = False) -> None:
        """Account for an operation that began at a time of `time.perf_counter`."""
        self.latencies.add(time.perf_counter() - started)
        self.operations += 1
        self.size += size
        self.verified += size if verified else 0

    def merge(self, other: Tally) -> None:
        """Add what another thread has done."""
        self.operations += other.operations
        self.size += other.size
        self.verified += other.verified
        self.latencies.merge(other.latencies)


Stopped = Callable[[], bool]
Step = Callable[[int, Tally, Stopped], None]
"""What a thread does again and again: given its number, where to account for it, and
whether the time is over, which a long step looks at."""


class Workload:
    """The objects of a benchmark, below a directory of its own.

    Args:
        store: the driver.
        directory: where the objects lie.
        object_bytes: size of those that are streamed.
        small_bytes: size of the small ones.
    """

    def __init__(
        self, store: StorageDriver, directory: str, object_bytes: int, small_bytes: int
    ) -> None:
        self._store = store
        self._directory = directory
        self._object_bytes = object_bytes
        self._small_bytes = small_bytes
        chance = random.Random(directory)
        self._pieces = [chance.randbytes(PIECE_BYTES) for _ in range(PIECES)]
        self._large: dict[int, int] = {}
        self._mixed: dict[int, int] = {}
        self._put: dict[int, int] = {}

    # Streams

    def write(self, number: int, tally: Tally, stopped: Stopped) -> None:
        """Write the thread's large object.

        Once it exists, the last attempt is dropped when the time is over; else it is
        committed with the size that it has got to, so that there is one to read.
        """
        path = f"{self._directory}/large/{number}"
        self._write(path, number, self._large, tally, stopped)

    def rewrite(self, number: int, tally: Tally, stopped: Stopped) -> None:
        """The same beside readers: another object."""
        path = f"{self._directory}/mixed/{number}"
        self._write(path, number, self._mixed, tally, stopped)

    def _write(
        self,
        path: str,
        number: int,
        sizes: dict[int, int],
        tally: Tally,
        stopped: Stopped,
    ) -> None:
        with self._store.writer(path) as writer:
            size = 0
            while size < self._object_bytes:
                if stopped() and size:
                    if number in sizes:
                        writer.cancel()
                        return
                    break
                piece = self._piece(number, size)[: self._object_bytes - size]
                started = time.perf_counter()
                writer.write(piece)
                size += len(piece)
                tally.add(started, len(piece))
            started = time.perf_counter()
            writer.commit()
            tally.latencies.add(time.perf_counter() - started)
        sizes[number] = size

    def read(self, number: int, tally: Tally, stopped: Stopped) -> None:
        """Read a large object, and compare it.

        Raises:
            DataLossError: it is not what was written.
        """
        path = f"{self._directory}/large/{number}"
        started = time.perf_counter()
        with self._store.reader(path) as reader:
            at = 0
            while True:
                piece = reader.read(PIECE_BYTES)
                if not piece:
                    break
                self._compare(piece, self._piece(number, at)[: len(piece)], path, at)
                tally.add(started, len(piece), verified=True)
                at += len(piece)
                if stopped():
                    return
                started = time.perf_counter()
        if at != self._large[number]:
            raise DataLossError("the object came back shorter", path=path, offset=at)

    # Small objects

    def put(self, number: int, tally: Tally, stopped: Stopped) -> None:
        """Store one of the thread's small objects."""
        turn = self._put.get(number, 0)
        path, content = self._small(number, turn)
        started = time.perf_counter()
        self._store.put_content(path, content)
        tally.add(started, len(content))
        self._put[number] = turn + 1

    def get(self, number: int, tally: Tally, stopped: Stopped) -> None:
        """Fetch one of them, and compare it.

        Raises:
            DataLossError: it is not what was stored.
        """
        path, content = self._small(number, tally.operations % self._stored(number))
        started = time.perf_counter()
        found = self._store.get_content(path)
        tally.add(started, len(found), verified=True)
        self._compare(found, content, path, 0)

    def stat(self, number: int, tally: Tally, stopped: Stopped) -> None:
        """Ask for the size of one of them.

        Raises:
            DataLossError: it has another.
        """
        path, content = self._small(number, tally.operations % self._stored(number))
        started = time.perf_counter()
        found = self._store.stat(path)
        tally.add(started, 0)
        if found.size != len(content):
            raise DataLossError(
                f"{found.size} bytes instead of {len(content)}", path=path
            )

    # Inside

    def _stored(self, number: int) -> int:
        """How many small objects a thread has, at least one."""
        if number not in self._put:
            self.put(number, Tally(), lambda: False)
        return min(self._put[number], SMALL_OBJECTS_MAX)

    def _piece(self, number: int, at: int) -> bytes:
        index = at // PIECE_BYTES
        return self._pieces[(index * index + 3 * index + 7 * number) % PIECES]

    def _small(self, number: int, turn: int) -> tuple[str, bytes]:
        turn %= SMALL_OBJECTS_MAX
        start = (number * 7919 + turn * 104_729) % (PIECE_BYTES - self._small_bytes + 1)
        piece = self._pieces[(number + turn) % PIECES]
        path = f"{self._directory}/small/{number}/{turn}"
        return path, piece[start : start + self._small_bytes]

    def _compare(self, found: bytes, wanted: bytes, path: str, at: int) -> None:
        if found != wanted:
            raise DataLossError("other bytes than were written", path=path, offset=at)

"""One after another: writes to some paths, and reads that compare."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from storagebus.drivers.errors import Executed, PathNotFoundError, StorageError

from .calls import Calls
from .content import SIZE_MIN, content
from .ledger import History, Version
from .stores import Store

SMALL_BYTES_MAX = 65_536
PIECE_BYTES_MAX = 600_000
READ_BYTES_MAX = 300_000
PATHS = 12
"""Few, so that objects are replaced, moved and deleted while others read them."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What a lane does.

    Attributes:
        large_bytes_max: size of an upload.
        pause_s: longest pause between two transfers.
        weights: of put, upload, move and delete.
        paths: how many.
    """

    large_bytes_max: int = 4_000_000
    pause_s: float = 0.02
    weights: tuple[int, int, int, int] = (55, 35, 5, 5)
    paths: int = PATHS


class Lane:
    """A sequence of transfers: a write, and a read that checks.

    Args:
        store: the client.
        calls: notes what becomes of each call.
        folder: a directory that nobody else writes to.
        chance: decides everything.
        mix: what it does.
    """

    def __init__(
        self, store: Store, calls: Calls, folder: str, chance: random.Random, mix: Mix
    ) -> None:
        self._store = store
        self._calls = calls
        self._ledger = calls.ledger
        self._chance = chance
        self._mix = mix
        self._histories = {f"{folder}/{n}": History() for n in range(mix.paths)}

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Work until it is over."""
        changes = (self._put, self._upload, self._move, self._delete)
        while not is_over():
            path = self._chance.choice(list(self._histories))
            (change,) = self._chance.choices(changes, self._mix.weights)
            await change(path)
            if self._chance.random() < 0.3:
                path = self._chance.choice(list(self._histories))
            await self._check(path)
            self._ledger.note("transfer")
            await self._store.sleep(self._chance.random() * self._mix.pause_s)

    # -- changes --------------------------------------------------------------

    async def _put(self, path: str) -> None:
        version = self._next(path, self._chance.randint(SIZE_MIN, SMALL_BYTES_MAX))
        data = content(version.origin, version.size)
        call = self._calls.timed("put", path, self._store.put(path, data))
        try:
            await call
        except StorageError as error:
            self._settle(path, version, error)
        else:
            self._settle(path, version)

    async def _upload(self, path: str) -> None:
        size = int(SIZE_MIN + self._mix.large_bytes_max * self._chance.random() ** 3)
        version = self._next(path, size)
        data = content(version.origin, size)
        upload = None
        committing = False
        try:
            upload = await self._calls.timed("writer", path, self._store.writer(path))
            at = 0
            while at < size:
                piece = data[at : at + self._chance.randint(1, PIECE_BYTES_MAX)]
                await self._calls.timed("write", path, upload.write(piece))
                at += len(piece)
            committing = True
            await self._calls.timed("commit", path, upload.commit())
        except StorageError as error:
            if not committing:
                error.executed = Executed.NO  # whatever the write says
            self._settle(path, version, error)
            if upload is not None:
                await self._give_up(path, upload)
        else:
            self._settle(path, version)

    async def _give_up(self, path: str, upload: object) -> None:
        try:
            await self._calls.timed("cancel", path, upload.cancel())  # type: ignore[attr-defined]
        except StorageError:
            self._ledger.note("abandoned", path=path)

    async def _move(self, source: str) -> None:
        destination = self._chance.choice(list(self._histories))
        possible = self._histories[source].possible
        if destination == source or len(possible) > 1 or not possible[0].origin:
            return  # what it would move is not known, or not there
        moved = possible[0]
        there = self._histories[destination].next(moved.origin, moved.size)
        gone = self._histories[source].next("", 0)
        for path, version in ((destination, there), (source, gone)):
            self._ledger.write("begin", path, version)
        failure: StorageError | None = None
        try:
            call = self._store.move(source, destination)
            await self._calls.timed("move", source, call)
        except StorageError as error:
            failure = error
            if isinstance(error, PathNotFoundError):
                self._ledger.note("wrong", path=source, why="a move found nothing")
        for path, version in ((destination, there), (source, gone)):
            self._settle(path, version, failure)

    async def _delete(self, path: str) -> None:
        if not any(version.origin for version in self._histories[path].possible):
            return
        version = self._histories[path].next("", 0)
        self._ledger.write("begin", path, version)
        try:
            await self._calls.timed("delete", path, self._store.delete(path))
        except PathNotFoundError:
            if any(not known.origin for known in self._histories[path].possible):
                self._settle(path, version)
            else:
                self._settle(path, version)
                self._ledger.note("wrong", path=path, why="a delete found nothing")
        except StorageError as error:
            self._settle(path, version, error)
        else:
            self._settle(path, version)

    def _next(self, path: str, size: int) -> Version:
        history = self._histories[path]
        version = history.next(f"{path}#{history.last + 1}", size)
        self._ledger.write("begin", path, version)
        return version

    def _settle(
        self, path: str, version: Version, error: StorageError | None = None
    ) -> None:
        event = "done"
        if error is not None:
            ran_not = error.executed is Executed.NO
            event = "failed" if ran_not else "unknown"
        getattr(self._histories[path], event)(version)
        self._ledger.write(event, path, version)

    # -- reads ----------------------------------------------------------------

    async def _check(self, path: str) -> None:
        (read,) = self._chance.choices((self._get, self._part, self._stat), (5, 4, 1))
        try:
            await read(path)
        except StorageError:
            pass  # it is noted already

    async def _get(self, path: str) -> None:
        data: bytes | None
        try:
            data = await self._read_all(path, 0, None)
        except PathNotFoundError:
            data = None
        self._compare(path, data)

    async def _part(self, path: str) -> None:
        size = max(version.size for version in self._histories[path].possible)
        start = self._chance.randint(0, size)
        length = self._chance.randint(1, 1 + size)
        data: bytes | None
        try:
            data = await self._read_all(path, start, length)
        except PathNotFoundError:
            data = None
        self._compare(path, data, start, start + length)

    async def _stat(self, path: str) -> None:
        possible = {
            v.size if v.origin else None for v in self._histories[path].possible
        }
        try:
            found: int | None = (
                await self._calls.timed("stat", path, self._store.stat(path))
            ).size
        except PathNotFoundError:
            found = None
        if found not in possible:
            why = f"stat says {found}, possible is {possible}"
            self._ledger.note("wrong", path=path, why=why)

    async def _read_all(self, path: str, start: int, length: int | None) -> bytes:
        timed = self._calls.timed
        known = self._histories[path].possible
        if (
            not start
            and length is None
            and max(v.size for v in known) < SMALL_BYTES_MAX
        ):
            return await timed("get", path, self._store.get(path))
        reader = await timed("reader", path, self._store.reader(path, start, length))
        pieces = []
        try:
            while piece := await timed("read", path, reader.read(READ_BYTES_MAX)):
                pieces.append(piece)
        finally:
            await reader.close()
        return b"".join(pieces)

    def _compare(
        self, path: str, data: bytes | None, start: int = 0, end: int | None = None
    ) -> None:
        history = self._histories[path]
        before = list(history.possible)
        seen = history.seen(data, start, end)
        if seen is None:
            found = (
                "nothing" if data is None else f"{len(data)} bytes, {data[:8].hex()}"
            )
            why = f"read {found} from {start}; possible: {before}"
            self._ledger.note("wrong", path=path, why=why)
        elif len(history.possible) < len(before):
            self._ledger.write("seen", path, seen)

"""What a check works with: a driver, a directory of its own, and random content."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from ..contract import Capabilities, Reader, StorageDriver, Writer
from ..errors import PathNotFoundError, StorageError
from . import expect
from .data import Content

TOP_PREFIX = "/conformance-"
CLEARING_PAUSES_SECONDS = (0.0, 0.1, 0.4, 1.5)
"""Before each look at whether a store has caught up with the delete."""

_T = TypeVar("_T")


class LeftBehind(expect.Failure):
    """Something is still there after a requirement has been tidied up."""


class Case:
    """One run of one requirement.

    Args:
        driver: the driver under test.
        name: name of the requirement.
        seed: all random content depends on it.
        second: gives another instance of the driver over the same store.
        fresh: makes an instance that the check may close.
        seconds_max: how long the run may take.

    Attributes:
        driver: as given.
        top: a directory of this run alone; the suite removes it afterwards.
        random: random numbers that depend on the seed.
    """

    def __init__(
        self,
        driver: StorageDriver,
        name: str,
        seed: str,
        *,
        second: Callable[[], StorageDriver],
        fresh: Callable[[], StorageDriver],
        seconds_max: float,
    ) -> None:
        self.driver = driver
        self.top = TOP_PREFIX + secrets.token_hex(6)
        self.random = Random(f"{seed}:{name}")
        self._seed = f"{seed}:{name}"
        self._contents = 0
        self._second = second
        self._fresh = fresh
        self._ends = time.monotonic() + seconds_max
        self._streams: list[Reader | Writer] = []

    @property
    def capabilities(self) -> Capabilities:
        return self.driver.capabilities

    def second(self) -> StorageDriver:
        """Another instance over the same store; only with the capability `shared`."""
        return self._second()

    def fresh(self) -> StorageDriver:
        """A new instance, for the check to close."""
        return self._fresh()

    def path(self, *names: str) -> str:
        """A path below the directory of this run."""
        return "/".join((self.top, *names))

    def content(self, size: int) -> Content:
        """New random content that is computed where it is needed."""
        self._contents += 1
        return Content(f"{self._seed}:{self._contents}", size)

    def data(self, size: int = 32) -> bytes:
        """New random bytes."""
        return bytes(self.content(size))

    def put(self, path: str, size: int = 32) -> bytes:
        """Store a new object of random bytes, and return them."""
        data = self.data(size)
        self.driver.put_content(path, data)
        return data

    def writer(self, path: str, append: bool = False, **more: Any) -> Writer:
        """A writer that is closed after the check at the latest."""
        return self.track(self.driver.writer(path, append, **more))

    def reader(
        self, path: str, offset: int = 0, length: int | None = None, **more: Any
    ) -> Reader:
        """A reader that is closed after the check at the latest."""
        return self.track(self.driver.reader(path, offset, length, **more))

    def track(self, stream: _T) -> _T:
        """Close a reader or writer after the check at the latest."""
        self._streams.append(stream)  # type: ignore[arg-type]
        return stream

    def keep(self, path: str, data: bytes, append: bool = False) -> Writer:
        """Write and close without a commit; returns the closed writer."""
        upload = self.writer(path, append)
        upload.write(data)
        upload.close()
        return upload

    def commit(self, path: str, data: bytes, append: bool = False) -> None:
        """Write, commit, close."""
        upload = self.writer(path, append)
        upload.write(data)
        upload.commit()
        upload.close()

    def holds(self, path: str, data: bytes, when: str = "") -> None:
        """Fail unless the object's content and size are exactly these."""
        what = f"content of {path} {when}".rstrip()
        expect.content(self.driver.get_content(path), data, what)
        info = self.driver.stat(path)
        expect.equal((info.size, info.is_dir), (len(data), False), f"stat of {path}")

    def absent(self, path: str) -> None:
        """Fail if there is an object or a directory."""
        for call in (self.driver.stat, self.driver.get_content, self.driver.list):
            expect.raises(PathNotFoundError, call, path, path=path)

    def together(self, calls: Sequence[Callable[[], _T]]) -> list[_T]:
        """Run calls at once, each on a thread, and return their results in order.

        Raises:
            Exception: the first that any of them raised.
            Failure: some did not end within the time of the requirement.
        """
        results: dict[int, _T] = {}
        errors: list[BaseException] = []
        start = threading.Barrier(len(calls))

        def run(index: int, call: Callable[[], _T]) -> None:
            try:
                start.wait(max(0.0, self._ends - time.monotonic()))
                results[index] = call()
            except BaseException as error:
                errors.append(error)

        threads = [
            threading.Thread(target=run, args=pair, daemon=True)
            for pair in enumerate(calls)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self._ends - time.monotonic()))
        if errors:
            raise errors[0]
        late = sum(thread.is_alive() for thread in threads)
        expect.that(not late, f"{late} of {len(threads)} threads did not end")
        return [results[index] for index in range(len(calls))]

    def tidy(self, pauses: Sequence[float] = CLEARING_PAUSES_SECONDS) -> None:
        """Close what the check left open, and remove its directory.

        Args:
            pauses: seconds to wait before each try.

        Raises:
            LeftBehind: something is still there after the last.
        """
        for stream in reversed(self._streams):
            try:
                stream.close()
            except StorageError:
                continue  # a superseded upload, say; the check is over
        for pause in pauses:
            time.sleep(pause)
            try:
                self.driver.delete(self.top)
            except PathNotFoundError:
                pass
            left = self._left_behind()
            if not left:
                return
        raise LeftBehind(f"left behind after delete({self.top}): {left}")

    def _left_behind(self) -> str:
        mark = self.top.removeprefix(TOP_PREFIX)
        listed = [path for path in self.driver.list("/") if mark in path]
        if listed:
            return f"list('/') has {', '.join(listed[:3])}"
        try:
            info = self.driver.stat(self.top)
        except PathNotFoundError:
            return ""
        return f"stat({self.top}) says {expect.shown(info)}"

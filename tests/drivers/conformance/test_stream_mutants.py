"""Drivers with broken contents or uploads: the suite must say which requirement.

This is how we know that the checks can fail. Each mutant is the in-memory driver with
one thing wrong; `caught_by` is the requirement that must notice it.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest

from storagebus.drivers import (
    FileInfo,
    Reader,
    StorageDriver,
    UploadState,
    UploadStatus,
    Writer,
)
from storagebus.drivers.checked import Checked
from storagebus.drivers.conformance import Outcome, Result
from storagebus.drivers.errors import (
    PathNotFoundError,
    StorageError,
    UploadSupersededError,
)
from storagebus.drivers.inmemory import InMemoryDriver

Verdict = Callable[..., Result]

BLOCK = 4096
FOREVER = threading.Event()
SHOWN_SECONDS = 0.02
"""How long what is wrong for a while is wrong: others have to see it."""


class Mutant(Checked):
    """The correct driver; what a subclass overrides is what it breaks."""

    def __init__(self) -> None:
        super().__init__(InMemoryDriver())


class WrappedWriter(Writer):
    def __init__(self, inner: Writer, driver: Mutant, path: str) -> None:
        self.inner = inner
        self.driver = driver
        self.path = path
        self.upload_id = inner.upload_id
        self.generation = inner.generation
        self.start = inner.size

    @property
    def size(self) -> int:
        return self.inner.size

    @property
    def durable(self) -> int:
        return self.inner.durable

    def write(self, data: Any) -> int:
        return self.inner.write(data)

    def commit(self) -> None:
        self.inner.commit()

    def cancel(self) -> None:
        self.inner.cancel()

    def close(self) -> None:
        self.inner.close()


class OtherWriter(Mutant):
    """A driver whose writers are of another class."""

    kind: type[WrappedWriter]

    def writer(self, path: str, append: bool = False, **more: Any) -> Writer:
        return self.kind(super().writer(path, append, **more), self, path)


class ReaderOf(Reader):
    def __init__(self, data: bytes, identity: str | None) -> None:
        self._bytes = io.BytesIO(data)
        self.identity = identity

    def read(self, size: int | None = -1, /) -> bytes:
        return self._bytes.read(size)

    def readinto(self, buffer: Any, /) -> int:
        return self._bytes.readinto(buffer)


class OtherContent(Mutant):
    """A driver that reads other bytes than it should."""

    def wrong(self, path: str, data: bytes, offset: int, length: int | None) -> bytes:
        raise NotImplementedError

    def reader(
        self, path: str, offset: int = 0, length: int | None = None, **more: Any
    ) -> Reader:
        with super().reader(path, **more) as stream:
            data, identity = stream.read(), stream.identity
        return ReaderOf(self.wrong(path, data, offset, length), identity)

    def get_content(self, path: str) -> bytes:
        with self.reader(path) as stream:
            return stream.read()


def part(data: bytes, offset: int, length: int | None) -> bytes:
    return data[offset:] if length is None else data[offset : offset + length]


class SwapsChunks(OtherContent):
    caught_by = "content.one-mebibyte"
    says = "which belongs at byte 4096"

    def wrong(self, path: str, data: bytes, offset: int, length: int | None) -> bytes:
        if len(data) >= 3 * BLOCK:
            first, second = data[:BLOCK], data[BLOCK : 2 * BLOCK]
            data = second + first + data[2 * BLOCK :]
        return part(data, offset, length)


class RepeatsChunks(OtherContent):
    caught_by = "content.one-mebibyte"
    says = "differs from byte 4096 on"

    def wrong(self, path: str, data: bytes, offset: int, length: int | None) -> bytes:
        if len(data) >= 3 * BLOCK:
            data = data[:BLOCK] + data[:BLOCK] + data[2 * BLOCK :]
        return part(data, offset, length)


class OffByOneInLaterBlocks(OtherContent):
    caught_by = "reader.random-ranges"
    says = "differs from byte"

    def wrong(self, path: str, data: bytes, offset: int, length: int | None) -> bytes:
        return part(data, offset + (offset > 64 << 10), length)


class IgnoresLength(OtherContent):
    caught_by = "reader.lengths"
    says = "expected 0 bytes from offset 0, got 96"

    def wrong(self, path: str, data: bytes, offset: int, length: int | None) -> bytes:
        return data[offset:]


class KeepsTheOldEnd(Mutant):
    caught_by = "content.shorter-replaces-longer"
    says = "expected 1024 bytes"

    def put_content(self, path: str, content: Any) -> None:
        try:
            old = super().get_content(path)
        except PathNotFoundError:
            old = b""
        super().put_content(path, content + old[len(content) :])


class IsStale(OtherContent):
    caught_by = "content.overwrite-is-never-stale"
    says = "after put 2: differs from byte 0"

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[tuple[str, int], bytes] = {}

    def wrong(self, path: str, data: bytes, offset: int, length: int | None) -> bytes:
        return part(self.seen.setdefault((path, len(data)), data), offset, length)


class MixesOverwrites(Mutant):
    """Reads the first bytes of what was opened, the rest of what is there later."""

    caught_by = "reader.overwritten-object-stays-whole"
    says = "rest of what was put"

    def reader(
        self, path: str, offset: int = 0, length: int | None = None, **more: Any
    ) -> Reader:
        driver = self

        class Live(ReaderOf):
            def __init__(self) -> None:
                self.at = offset
                self.end = None if length is None else offset + length
                self.identity = Mutant.stat(driver, path).identity

            def read(self, size: int | None = -1, /) -> bytes:
                with Mutant.reader(driver, path, self.at) as stream:
                    wanted = size if size is not None and size >= 0 else 1 << 40
                    if self.end is not None:
                        wanted = min(wanted, self.end - self.at)
                    data = stream.read(wanted)
                self.at += len(data)
                return data

        super().reader(path, **more).close()
        return Live()


class ShowsUncommitted(OtherWriter):
    caught_by = "writer.uncommitted-is-invisible"
    says = "expected PathNotFoundError, got no error"

    class kind(WrappedWriter):
        def write(self, data: Any) -> int:
            self.driver.put_content(self.path, bytes(data))
            return super().write(data)


class TruncatesAtOpen(Mutant):
    caught_by = "writer.old-content-stays-until-the-commit"
    says = "after the writer was opened"

    def writer(self, path: str, append: bool = False, **more: Any) -> Writer:
        if not append and more["upload_id"] is None:
            try:
                super().get_content(path)
                super().put_content(path, b"")
            except StorageError:
                pass
        return super().writer(path, append, **more)


class CountsOneSession(OtherWriter):
    caught_by = "append.small-chunks"
    says = "size at the start of session 2: expected 32, got 0"

    class kind(WrappedWriter):
        @property
        def size(self) -> int:
            return self.inner.size - self.start


class ForgetsKeptUploads(Mutant):
    caught_by = "append.small-chunks"
    says = "session 2"

    def writer(self, path: str, append: bool = False, **more: Any) -> Writer:
        return super().writer(path, False, **more)


class KeepsBuffers(OtherWriter):
    """Takes a reference to what is written, and copies it at the commit."""

    caught_by = "writer.takes-a-copy"
    says = "differs from byte 0"

    class kind(WrappedWriter):
        def __init__(self, inner: Writer, driver: Mutant, path: str) -> None:
            super().__init__(inner, driver, path)
            self.pieces: list[Any] = []

        @property
        def size(self) -> int:
            return self.inner.size + sum(map(len, self.pieces))

        def write(self, data: Any) -> int:
            self.pieces.append(data)
            return len(data)

        def commit(self) -> None:
            for piece in self.pieces:
                self.inner.write(piece)
            self.pieces.clear()
            self.inner.commit()

        def close(self) -> None:
            for piece in self.pieces:
                self.inner.write(piece)
            self.pieces.clear()
            self.inner.close()


class FencesNobody(OtherWriter):
    caught_by = "claim.former-may-not-write"
    says = "expected UploadSupersededError"

    class kind(WrappedWriter):
        def write(self, data: Any) -> int:
            try:
                return super().write(data)
            except UploadSupersededError:
                return len(data)

        def commit(self) -> None:
            try:
                super().commit()
            except UploadSupersededError:
                return


class CancelCommits(OtherWriter):
    caught_by = "writer.cancel-leaves-nothing"
    says = "expected PathNotFoundError"

    class kind(WrappedWriter):
        def cancel(self) -> None:
            self.inner.commit()


class CancelKeeps(OtherWriter):
    caught_by = "append.cancel-drops-the-kept-upload"
    says = "expected 0, got 64"

    class kind(WrappedWriter):
        def cancel(self) -> None:
            self.inner.close()


class IgnoresIfMatch(Mutant):
    caught_by = "identity.if-match-refuses"
    says = "expected PreconditionError"

    def reader(
        self, path: str, offset: int = 0, length: int | None = None, **more: Any
    ) -> Reader:
        return super().reader(path, offset, length)


class ListsStaging(OtherWriter):
    caught_by = "append.uploads-are-invisible"
    says = "upload.tmp"

    class kind(WrappedWriter):
        def close(self) -> None:
            super().close()
            directory = self.path.rpartition("/")[0]
            self.driver.put_content(f"{directory}/upload.tmp", b"")


class StatusIsAlwaysOpen(Mutant):
    caught_by = "upload.status-after-commit"
    says = "state of the upload after the commit"

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        return UploadStatus(UploadState.OPEN)


class PutsInHalves(Mutant):
    caught_by = "concurrent.puts-to-one-path"
    says = "that nobody put as a whole"

    def put_content(self, path: str, content: Any) -> None:
        half = len(content) // 2
        super().put_content(path, content[:half])
        FOREVER.wait(SHOWN_SECONDS)
        with super().writer(path, append=True) as upload:
            upload.write(content[half:])
            upload.commit()


class PutsThroughTemporaryNames(Mutant):
    """As the registry's filesystem driver does: the name shows in lists and walks."""

    caught_by = "concurrent.listing-while-changing"
    says = "that nobody stored"

    def put_content(self, path: str, content: Any) -> None:
        super().put_content(f"{path}.tmp", content)
        FOREVER.wait(SHOWN_SECONDS)
        super().move(f"{path}.tmp", path)


class SharesOneBuffer(OtherWriter):
    """Writers of different objects mix, as where a buffer is shared by mistake."""

    caught_by = "concurrent.streams"
    says = "differs from byte"

    class kind(WrappedWriter):
        shared = bytearray()

        def write(self, data: Any) -> int:
            self.shared[: len(data)] = data
            FOREVER.wait(SHOWN_SECONDS)
            return super().write(bytes(self.shared[: len(data)]))


class HangsInStat(Mutant):
    caught_by = "stat.of-an-object"
    says = "did not end within 0.3 s"
    seconds_max = 0.3

    def stat(self, path: str) -> FileInfo:
        if path != "/" and path.count("/") > 1:
            FOREVER.wait()
        return super().stat(path)


class OneStreamAtATime(OtherWriter):
    caught_by = "concurrent.interleaved-writers"
    says = "did not end within 0.3 s"
    seconds_max = 0.3

    busy = threading.Semaphore(1)

    class kind(WrappedWriter):
        def __init__(self, inner: Writer, driver: Mutant, path: str) -> None:
            super().__init__(inner, driver, path)
            OneStreamAtATime.busy.acquire()

        def commit(self) -> None:
            super().commit()
            OneStreamAtATime.busy.release()


MUTANTS = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and "caught_by" in vars(kind)
]


@pytest.mark.parametrize("kind", MUTANTS, ids=lambda kind: kind.__name__)
def test_the_suite_names_what_is_broken(kind: Any, verdict: Verdict) -> None:
    def make() -> StorageDriver:
        return Checked(kind()) if getattr(kind, "checked", True) else kind()

    result = verdict(make, kind.caught_by, getattr(kind, "seconds_max", 20.0))
    assert result.outcome is Outcome.FAILED
    assert getattr(kind, "says", "") in result.reason

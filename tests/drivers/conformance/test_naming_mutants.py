"""Drivers with broken names, listings or errors: the suite must say which requirement.

This is how we know that the checks can fail. Each mutant is the in-memory driver with
one thing wrong; `caught_by` is the requirement that must notice it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from storagebus.drivers import (
    FileInfo,
    StorageDriver,
    Walk,
)
from storagebus.drivers.checked import Checked
from storagebus.drivers.conformance import Outcome, Result
from storagebus.drivers.errors import (
    InvalidPathError,
    PathNotFoundError,
    StorageError,
)
from storagebus.drivers.inmemory import InMemoryDriver
from storagebus.drivers.paths import below

Verdict = Callable[..., Result]


class Mutant(Checked):
    """The correct driver; what a subclass overrides is what it breaks."""

    def __init__(self) -> None:
        super().__init__(InMemoryDriver())


class DeletesByPrefix(Mutant):
    caught_by = "delete.only-what-lies-below"
    says = "PathNotFoundError"

    def delete(self, path: str) -> None:
        found = [
            info.path
            for info in super().walk("/")
            if info.path.startswith(path) and not info.is_dir
        ]
        if not found:
            super().delete(path)
        for each in found:
            super().delete(each)


class DeleteForgetsUploads(Mutant):
    caught_by = "append.delete-drops-object-and-upload"
    says = "expected 0, got 64"

    def delete(self, path: str) -> None:
        if path.count("/") == 1:  # the suite's own tidying
            super().delete(path)
            return
        self.stat(path)
        found = [path, *(info.path for info in super().walk("/"))]
        for each in found:
            if each == path or below(each, path):
                try:
                    super().get_content(each)
                except PathNotFoundError:
                    continue
                super().move(each, "/rubbish")
                super().delete("/rubbish")


class DeletesNothing(Mutant):
    caught_by = "content.one-byte"
    says = "left behind"

    def delete(self, path: str) -> None:
        self.stat(path)


class StatsByPrefix(Mutant):
    caught_by = "stat.is-prefix-safe"
    says = "expected PathNotFoundError"

    def stat(self, path: str) -> FileInfo:
        try:
            return super().stat(path)
        except PathNotFoundError:
            parent, _, name = path.rpartition("/")
            for child in super().list(parent or "/"):
                if child.rpartition("/")[2].startswith(name):
                    return FileInfo(path, 0, None, True)
            raise


class LosesRepeatedNames(Mutant):
    caught_by = "paths.names-repeat"
    says = "PathNotFoundError"

    def stat(self, path: str) -> FileInfo:
        info = super().stat(path)
        name = path.rpartition("/")[2]
        if info.is_dir and path != "/" and f"{path}/{name}" in super().list(path):
            raise PathNotFoundError(path=path)
        return info


class NaiveTimes(Mutant):
    caught_by = "stat.mod-time-is-now"
    says = "mod_time without a zone"

    def stat(self, path: str) -> FileInfo:
        info = super().stat(path)
        if info.mod_time is None:
            return info
        return dataclasses.replace(info, mod_time=info.mod_time.replace(tzinfo=None))


class LocalTimesAsUtc(Mutant):
    caught_by = "stat.mod-time-is-now"
    says = "from now"

    def stat(self, path: str) -> FileInfo:
        info = super().stat(path)
        if info.mod_time is None:
            return info
        shifted = datetime.fromtimestamp(
            info.mod_time.timestamp() + 3600, info.mod_time.tzinfo
        )
        return dataclasses.replace(info, mod_time=shifted)


class IdentifiesBySize(Mutant):
    caught_by = "identity.changes-with-every-put"
    says = "expected 20, got 1"

    def stat(self, path: str) -> FileInfo:
        info = super().stat(path)
        if info.is_dir:
            return info
        return dataclasses.replace(info, identity=f"size-{info.size}")


class ListsUnsorted(Mutant):
    caught_by = "list.direct-children"
    says = "list of the directory"

    def list(self, path: str) -> list[str]:
        return super().list(path)[::-1]


class ListsOnePage(Mutant):
    caught_by = "list.more-than-a-thousand"
    says = "expected 1005, got 1000"

    def list(self, path: str) -> list[str]:
        return super().list(path)[:1000]


class ListsDescendants(Mutant):
    caught_by = "list.directories-once"
    says = "no child of it"  # the wrapper is first to see it

    def list(self, path: str) -> list[str]:
        return sorted(super().list(path) + [i.path for i in super().walk(path)])


class EmptyListsForMissing(Mutant):
    caught_by = "list.of-nothing"
    says = "expected PathNotFoundError, got no error but []"

    def list(self, path: str) -> list[str]:
        try:
            return super().list(path)
        except PathNotFoundError:
            return []


class ListWalk(Walk):
    def __init__(self, infos: list[FileInfo]) -> None:
        self.infos = infos
        self.last: FileInfo | None = None

    def __next__(self) -> FileInfo:
        if not self.infos:
            raise StopIteration
        self.last = self.infos.pop(0)
        return self.last

    def skip(self) -> None:
        last = self.last
        if last is not None:
            self.infos = [i for i in self.infos if not below(i.path, last.path)]

    def close(self) -> None:
        self.infos = []


class WalksByName(Mutant):
    """Directories compare without their slash, as in the registry's own fallback."""

    caught_by = "walk.siblings-with-suffixes"
    says = "walk: expected"

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        infos = list(super().walk(path, start_after))
        return ListWalk(sorted(infos, key=lambda info: info.path.split("/")))


class StartsAtNotAfter(Mutant):
    caught_by = "walk.start-after-each-entry"
    says = "start_after="

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        infos = list(super().walk(path, start_after))
        for info in super().walk(path):
            if info.path == start_after:
                infos.insert(0, info)
        return ListWalk(infos)


class SkipsNothing(Mutant):
    caught_by = "walk.skip-leaves-a-directory-out"
    says = "walk that skips"

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        walk = ListWalk(list(super().walk(path, start_after)))
        walk.skip = lambda: None  # type: ignore[method-assign]
        return walk


class SkipsByPrefix(Mutant):
    caught_by = "walk.skip-leaves-a-directory-out"
    says = "walk that skips"

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        class Walks(ListWalk):
            def skip(self) -> None:
                start = self.last.path if self.last and self.last.is_dir else "\0"
                self.infos = [i for i in self.infos if not i.path.startswith(start)]

        return Walks(list(super().walk(path, start_after)))


class WalkFailsOnVanished(Mutant):
    caught_by = "walk.vanished-entries"
    says = "unexpected PathNotFoundError"

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        stat = self.stat

        class Walks(ListWalk):
            def __next__(self) -> FileInfo:
                return stat(super().__next__().path)

        return Walks(list(super().walk(path, start_after)))


class MoveDropsTheDestination(Mutant):
    caught_by = "move.missing-source"
    says = "unexpected PathNotFoundError"

    def move(self, source: str, destination: str) -> None:
        try:
            super().get_content(destination)
            super().delete(destination)
        except PathNotFoundError:
            pass
        super().move(source, destination)


class MoveCopies(Mutant):
    caught_by = "move.an-object"
    says = "expected PathNotFoundError"

    def move(self, source: str, destination: str) -> None:
        self.put_content(destination, self.get_content(source))


class MovesDirectories(Mutant):
    caught_by = "move.of-a-directory"
    says = "expected PathNotFoundError"

    def move(self, source: str, destination: str) -> None:
        if self.stat(source).is_dir:
            for info in list(super().walk(source)):
                if not info.is_dir:
                    super().move(info.path, destination + info.path[len(source) :])
        else:
            super().move(source, destination)


class FoldsCase(Mutant):
    caught_by = "paths.upper-and-lower-case-differ"

    def get_content(self, path: str) -> bytes:
        return super().get_content(path.lower())

    def put_content(self, path: str, content: Any) -> None:
        super().put_content(path.lower(), content)


class UntypedErrors(Mutant):
    caught_by = "content.missing-object"
    says = "expected PathNotFoundError, got StorageError"

    def get_content(self, path: str) -> bytes:
        try:
            return super().get_content(path)
        except PathNotFoundError:
            raise KeyError(path) from None


class ErrorsOfTheDestination(Mutant):
    caught_by = "move.missing-source"
    says = "path of the error"

    def move(self, source: str, destination: str) -> None:
        try:
            super().move(source, destination)
        except PathNotFoundError:
            raise PathNotFoundError(path=destination) from None


class SaysMaybe(Mutant):
    caught_by = "error.says-that-nothing-ran"
    says = "expected (False, <Executed.NO"

    def delete(self, path: str) -> None:
        try:
            super().delete(path)
        except PathNotFoundError:
            raise PathNotFoundError(path=path, temporary=True) from None


class RedirectsNowhere(Mutant):
    caught_by = "redirect.url-or-none"
    says = "expected None"

    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        return "http://localhost/"


class ClosesOnce(Mutant):
    caught_by = "driver.closes-twice"
    says = "unexpected StorageError"

    closed = False

    def close(self) -> None:
        if self.closed:
            raise StorageError("closed already")
        self.closed = True


class ReservesNames(Mutant):
    caught_by = "paths.valid"
    says = "unexpected InvalidPathError"

    def put_content(self, path: str, content: Any) -> None:
        if path.endswith(".tmp"):
            raise InvalidPathError(path=path)
        super().put_content(path, content)


class OverwritesDirectories(Mutant):
    caught_by = "conflict.object-over-a-directory"
    says = "expected PathConflictError"

    def put_content(self, path: str, content: Any) -> None:
        try:
            if self.stat(path).is_dir:
                super().delete(path)
        except PathNotFoundError:
            pass
        super().put_content(path, content)


class AcceptsDots(Mutant):
    """The registry's own check, which lets "." and ".." through."""

    caught_by = "paths.invalid-for-get-content"
    says = "expected InvalidPathError, got no error"
    checked = False

    def get_content(self, path: str) -> bytes:
        if "/.." in str(path):
            return b"/etc/passwd"
        return super().get_content(path)


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

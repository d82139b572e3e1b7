"""The two local drivers give the same answers to the same calls, whatever they are."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from storagebus.drivers import StorageDriver, Writer, create
from storagebus.drivers.errors import StorageError

# Few names, so that objects, directories and uploads meet all the time.
NAMES = st.sampled_from(["a", "a-", "b"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
ROOTS = PATHS | st.just("/")
UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
COUNTS = st.integers(0, 5)


class Alike(RuleBasedStateMachine):
    """Each rule is one call to both drivers; answers and errors must be equal."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.root = Path(self.directory.name) / "root"
        self.drivers = (
            create("inmemory"),
            create("filesystem", {"rootdirectory": str(self.root)}),
        )
        self.writers: list[tuple[Writer, Writer]] = []
        self.numbers = itertools.count()

    def teardown(self) -> None:
        for pair in self.writers:
            for upload in pair:
                upload.close()
        for driver in self.drivers:
            driver.close()
        self.directory.cleanup()

    def fresh(self) -> bytes:
        """Bytes that were never written before."""
        return f"<{next(self.numbers)}>".encode()

    def both(self, call: Callable[[Any], Any], on: tuple[Any, Any]) -> list[Any]:
        """The answers of both, or nothing when both refused alike."""
        answers = []
        for one in on:
            try:
                answers.append((call(one), None))
            except StorageError as error:
                detail = UPLOAD_ID.sub("ID", error.detail)
                words = (type(error), error.path, detail, error.executed)
                answers.append((None, words))
        assert answers[0][1] == answers[1][1]
        return [] if answers[0][1] else [answer for answer, _ in answers]

    def same(self, call: Callable[[StorageDriver], Any]) -> None:
        """Both answer the same."""
        answers = self.both(call, self.drivers)
        assert not answers or answers[0] == answers[1]

    @rule(path=PATHS)
    def put(self, path: str) -> None:
        data = self.fresh()
        self.same(lambda driver: driver.put_content(path, data))

    @rule(path=PATHS, offset=COUNTS, length=st.none() | COUNTS)
    def read(self, path: str, offset: int, length: int | None) -> None:
        self.same(lambda driver: driver.reader(path, offset, length).read())

    @rule(path=ROOTS)
    def stat(self, path: str) -> None:
        self.same(lambda driver: known(driver.stat(path)))

    @rule(path=ROOTS)
    def list(self, path: str) -> None:
        self.same(lambda driver: driver.list(path))

    @rule(path=ROOTS, after=st.none() | PATHS, skipped=st.sets(PATHS, max_size=2))
    def walk(self, path: str, after: str | None, skipped: set[str]) -> None:
        def entries(driver: StorageDriver) -> list[Any]:
            found = []
            with driver.walk(path, after) as walk:
                for info in walk:
                    found.append(known(info))
                    if info.path in skipped:
                        walk.skip()
            return found

        self.same(entries)

    @rule(source=PATHS, destination=PATHS)
    def move(self, source: str, destination: str) -> None:
        self.same(lambda driver: driver.move(source, destination))

    @rule(path=PATHS)
    def delete(self, path: str) -> None:
        self.same(lambda driver: driver.delete(path))

    @rule(path=PATHS, append=st.booleans())
    def open(self, path: str, append: bool) -> None:
        pair = self.both(lambda driver: driver.writer(path, append), self.drivers)
        self.add(pair)

    @rule(path=PATHS, number=COUNTS)
    def claim(self, path: str, number: int) -> None:
        """By id: of an upload of this or of another path, or of none."""
        if number < len(self.writers):
            ids = [upload.upload_id for upload in self.writers[number]]
        else:
            ids = ["0" * 32, "0" * 32]
        pairs = tuple(zip(self.drivers, ids, strict=True))
        self.add(self.both(lambda pair: pair[0].writer(path, upload_id=pair[1]), pairs))

    def add(self, pair: list[Writer]) -> None:
        if pair:
            first, second = pair
            assert (first.size, first.generation) == (second.size, second.generation)
            self.writers.insert(0, (first, second))

    @rule(number=COUNTS)
    def write(self, number: int) -> None:
        if number < len(self.writers):
            data = self.fresh()
            self.both(lambda upload: upload.write(data), self.writers[number])

    @rule(number=COUNTS, end=st.sampled_from(["commit", "cancel", "close"]))
    def end(self, number: int, end: str) -> None:
        if number < len(self.writers):
            self.both(lambda upload: getattr(upload, end)(), self.writers[number])

    @rule(path=PATHS, number=COUNTS)
    def status(self, path: str, number: int) -> None:
        if number < len(self.writers):
            ids = [upload.upload_id for upload in self.writers[number]]
            pairs = tuple(zip(self.drivers, ids, strict=True))
            answers = self.both(
                lambda pair: pair[0].upload_status(*[path, pair[1]]), pairs
            )
            first, second = answers
            assert (first.state, first.durable) == (second.state, second.durable)
            assert (first.identity is None) == (second.identity is None)

    @invariant()
    def sizes_agree(self) -> None:
        for first, second in self.writers:
            assert (first.size, first.durable) == (second.size, second.durable)

    @invariant()
    def nothing_is_left_on_disk(self) -> None:
        """As many files as uploads, and no directory without anything in it."""
        memory = self.drivers[0]._driver  # type: ignore[attr-defined]
        everything = list(self.root.rglob("*"))
        staged = [path for path in everything if path.suffix == ".upload"]
        assert len(staged) == len(memory._uploads._open)
        kept = [path for path in everything if path.name == "~kept"]
        assert len(kept) == len(memory._uploads._kept)
        for directory in everything:
            own = directory.name == "~uploads" or "~committed" in str(directory)
            if directory.is_dir() and not own:
                assert any(not path.is_dir() for path in directory.rglob("*"))


def known(info: Any) -> tuple[Any, ...]:
    """What of a FileInfo does not depend on the driver."""
    kinds = (info.identity is None, info.mod_time is None)
    return (info.path, info.size, info.is_dir, *kinds)


TestAlike = Alike.TestCase
TestAlike.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)

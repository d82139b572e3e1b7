import json
import threading
import time
from typing import Any

import pytest

from storagebus.drivers.errors import PathNotFoundError

PATHS = ["/a-b/x", "/a/b/c", "/a/d", "/e"]


@pytest.fixture(autouse=True)
def content(store: Any) -> None:
    for number, path in enumerate(PATHS):
        store.put_content(path, b"x" * number)


def test_ls_prints_full_paths(run: Any) -> None:
    assert run("ls").out == "/a\n/a-b\n/e\n"
    assert run("ls", "/a").out == "/a/b\n/a/d\n"
    assert run("ls", "/a", "/a-b").out == "/a/b\n/a/d\n/a-b/x\n"


def test_ls_in_json(run: Any) -> None:
    found = [json.loads(line) for line in run("ls", "--json", "/a").out.splitlines()]
    assert [(entry["path"], entry["size"], entry["is_dir"]) for entry in found] == [
        ("/a/b", 0, True),
        ("/a/d", 2, False),
    ]
    assert set(found[0]) == {"path", "size", "mod_time", "is_dir", "identity"}


def test_ls_long(run: Any) -> None:
    directory, file = run("ls", "-l", "/a").out.splitlines()
    assert directory.split() == ["-", "-", "/a/b/"]
    size, when, path = file.split()
    assert (size, path) == ("2", "/a/d")
    assert when == f"{run.store.stat('/a/d').mod_time:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize("path", ["/nothing", "/e", "/a/d"])
def test_ls_of_what_is_no_directory(run: Any, path: str) -> None:
    ran = run("ls", path)
    assert (ran.code, ran.out) == (3, "")


def test_walk_is_in_walk_order(run: Any) -> None:
    assert run("walk").out.split() == [
        "/a-b",
        "/a-b/x",
        "/a",
        "/a/b",
        "/a/b/c",
        "/a/d",
        "/e",
    ]
    assert run("walk", "/a").out.split() == ["/a/b", "/a/b/c", "/a/d"]
    assert run("walk", "--start-after", "/a/b/c", "/").out.split() == ["/a/d", "/e"]


def test_walk_in_json_and_long(run: Any) -> None:
    lines = run("walk", "--json", "/a").out.splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["/a/b", "/a/b/c", "/a/d"]
    assert run("walk", "-l", "/a").out.splitlines()[1].split()[0] == "1"


def test_walk_of_nothing(run: Any) -> None:
    assert run("walk", "/nothing").code == 3
    assert run("walk", "/e").code == 3


class Slow:
    """A store whose stats take a while and may find nothing."""

    def __init__(self, store: Any, gone: str = "") -> None:
        self._store = store
        self._gone = gone
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def stat(self, path: str) -> Any:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.005)
        with self._lock:
            self.now -= 1
        if path == self._gone:
            raise PathNotFoundError(path=path)
        return self._store.stat(path)


def test_entries_are_looked_at_together_and_printed_in_order(run: Any) -> None:
    paths = [f"/many/{number:03}" for number in range(60)]
    for path in paths:
        run.store.put_content(path, b"1")
    run.store = slow = Slow(run.store, gone=paths[7])
    ran = run("ls", "--json", "/many")
    assert [json.loads(line)["path"] for line in ran.out.splitlines()] == [
        path for path in paths if path != paths[7]
    ]
    assert 2 <= slow.most <= 8

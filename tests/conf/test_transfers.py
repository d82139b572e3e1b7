import json
import os
import pty
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

CONTENT = random.Random(5).randbytes(2_500_000)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "dir" / "deep").mkdir(parents=True)
    for number in range(30):
        name = f"dir/deep/f{number}" if number % 2 else f"f{number}"
        (root / name).write_bytes(CONTENT[: number * 1_000])
    return root


def files_of(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_one_file_there_and_back(run: Any, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(CONTENT)
    ran = run("put", str(tmp_path / "in"), "/a/b")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert run.store.get_content("/a/b") == CONTENT
    ran = run("get", "/a/b", str(tmp_path / "out"))
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_pipes_there_and_back(run: Any) -> None:
    assert run("put", "-", "/a", stdin=CONTENT).code == 0
    assert run.store.get_content("/a") == CONTENT
    ran = run("get", "/a", "-")
    assert ran.raw == CONTENT
    assert ran.err == ""
    assert run("put", "-", "/empty").code == 0
    assert run.store.get_content("/empty") == b""


def test_a_fifo_is_a_pipe(run: Any, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(CONTENT,))
    writer.start()
    assert run("put", str(fifo), "/a").code == 0
    writer.join(10)
    assert run.store.get_content("/a") == CONTENT


def test_a_tree_there_and_back(run: Any, tree: Path, tmp_path: Path) -> None:
    ran = run("put", "-r", str(tree), "/t", "--jobs", "3")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("stored 30 files, ")
    assert ran.err.count("\n") == 1
    ran = run("get", "-r", "/t", str(tmp_path / "back"))
    assert ran.code == 0
    assert ran.err.startswith("fetched 30 files, ")
    assert files_of(tmp_path / "back") == files_of(tree)


def test_a_summary_in_json(run: Any, tree: Path, tmp_path: Path) -> None:
    size = sum(map(len, files_of(tree).values()))
    for args in (
        ("put", "-r", str(tree), "/t"),
        ("get", "-r", "/t", str(tmp_path / "back")),
    ):
        ran = run(*args, "--json")
        found = json.loads(ran.out)
        assert found.pop("seconds") >= 0
        assert found == {
            "files": 30,
            "bytes": size,
            "skipped": 0,
            "failed": 0,
            "empty_directories": 0,
        }
        assert ran.err == ""
    (tmp_path / "one").write_bytes(b"123")
    ran = run("put", "--json", str(tmp_path / "one"), "/one")
    assert json.loads(ran.out)["bytes"] == 3


def test_names_outside_the_grammar(run: Any, tree: Path, tmp_path: Path) -> None:
    (tree / "a b").mkdir()
    (tree / "a b" / "c").write_bytes(b"1")
    (tree / "Zoë").write_bytes(b"2")
    ran = run("put", "-r", str(tree), "/t")
    assert ran.code == 4
    lines = ran.err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"storagebus: {tree}/Zoë: invalid path: ")
    assert lines[1].startswith(f"storagebus: {tree}/a b: invalid path: ")
    assert lines[2].endswith("2 skipped")
    assert lines[3].startswith("storagebus: invalid path: 2 skipped, 0 failed")
    assert run("put", "-r", "-q", "--encode-names", str(tree), "/u").err == ""
    ran = run("get", "-r", "-q", "--decode-names", "/u", str(tmp_path / "back"))
    assert (ran.code, ran.err) == (0, "")
    assert files_of(tmp_path / "back") == files_of(tree)


@pytest.mark.parametrize(
    "args",
    [
        ["put", "-r", "-", "/a"],
        ["put", ".", "/a"],
        ["put", "--encode-names", "-", "/a"],
        ["get", "-r", "/a", "-"],
        ["get", "--decode-names", "/a", "x"],
        ["get", "--json", "/a", "-"],
        ["put", "-r", ".", "/a", "--jobs", "0"],
        ["put", "-r", ".", "/a", "--jobs", "65"],
    ],
)
def test_combinations_that_make_no_sense(run: Any, args: list[str]) -> None:
    run.store.put_content("/a", b"1")
    ran = run(*args)
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert run.store.get_content("/a") == b"1"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["put", "missing", "/a"], 3),
        (["put", "-r", "missing", "/a"], 3),
        (["put", "here", "bad"], 4),
        (["put", "-r", ".", "bad/"], 4),
        (["get", "/missing", "x"], 3),
        (["get", "-r", "/missing", "x"], 3),
        (["get", "/a", "no/such/directory"], 3),
        (["get", "/", "x"], 4),
        (["put", "here", "/a/below-an-object"], 1),
    ],
)
def test_errors_have_their_codes(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: Any, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").write_bytes(b"1")
    run.store.put_content("/a", b"old")
    ran = run(*args)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("storagebus: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]
    assert run.store.get_content("/a") == b"old"


def test_r_is_for_directories_and_says_so(run: Any, tmp_path: Path) -> None:
    run.store.put_content("/a/b", b"x")
    ran = run("get", "-r", "/a/b", str(tmp_path / "x"))
    assert ran.code == 3
    said = "an object, not a directory; without -r it is fetched: /a/b\n"
    assert ran.err == f"storagebus: path not found: {said}"
    assert not (tmp_path / "x").exists()


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "big").write_bytes(CONTENT)
    (tmp_path / "tree" / "odd name").write_bytes(b"1")
    script = """
import sys, time
from storagebus.conf.main import main
from storagebus.drivers import create
store = create("inmemory")
real = store.writer
def writer(*args, **options):
    time.sleep(0.5)
    return real(*args, **options)
store.writer = writer
sys.exit(main(sys.argv[1:], open_store=lambda target: store))
"""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script, "put", "-r", str(tmp_path / "tree"), "/t"],
        stdout=subprocess.PIPE,
        stderr=child,
        env={**os.environ, "STORAGEBUS_ENDPOINT": "ipc:///nowhere"},
    )
    os.close(child)
    shown = b""
    try:
        while piece := os.read(parent, 4096):
            shown += piece
    except OSError:
        pass  # the other end is closed
    os.close(parent)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 4
    assert out == b""
    assert b"B/s" in shown
    assert b"2.38M" in shown  # the total, counted beside the transfer
    assert b"odd name: invalid path" in shown
    assert b"stored 1 file, 2.4 MiB in " in shown

"""conf/private.py: a directory that is gone with its owner, or soon after."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storagebus.conf import private
from storagebus.conf.private import OWNER, PREFIX, private_directory, remove_left


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A short directory."""
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


def test_the_private_directory(tmp_path: Path, runtime: Path) -> None:
    for environ in (
        {},
        {"XDG_RUNTIME_DIR": "relative"},
        {"XDG_RUNTIME_DIR": "/nowhere"},
        {"XDG_RUNTIME_DIR": str(tmp_path / ("x" * 60))},
    ):
        made = private_directory(environ)
        assert made.parent == Path("/tmp")
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        shutil.rmtree(made)
    assert private_directory({"XDG_RUNTIME_DIR": str(runtime)}).parent == runtime


def test_what_a_killed_process_left_is_removed_and_nothing_else(runtime: Path) -> None:
    script = (
        "import os; from storagebus.conf.private import private_directory as make;"
        "print(make(os.environ), flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    (left / "clients").touch()
    foreign = runtime / f"{PREFIX}of-another-program"
    foreign.mkdir()
    linked = runtime / f"{PREFIX}link"
    linked.mkdir()
    (linked / OWNER).symlink_to(runtime / "target")
    (runtime / "target").touch()
    try:
        mine = private_directory({"XDG_RUNTIME_DIR": str(runtime)})
        assert left.is_dir()  # its owner lives
        process.send_signal(signal.SIGKILL)
        process.wait()
        remove_left(runtime)
    finally:
        process.kill()
        process.communicate()
    assert not left.exists()
    assert mine.is_dir()
    assert foreign.is_dir()
    assert linked.is_dir()


def test_one_that_another_process_took_for_left_is_made_anew(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had looked when the directory was there and not yet locked."""
    lock, taken = private._lock, []

    def lock_late(path: Path, flags: int = 0) -> int:
        if flags and not taken:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            taken.append(path.parent)
            remove_left(runtime)
        return lock(path, flags & ~os.O_CREAT if path.parent in taken else flags)

    monkeypatch.setattr(private, "_lock", lock_late)
    made = private_directory({"XDG_RUNTIME_DIR": str(runtime)})
    assert [*runtime.iterdir()] == [made]
    assert made not in taken
    remove_left(runtime)
    assert (made / OWNER).exists()

"""conf/stdio.py: the command line without some of the standard streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from storagebus.conf.main import main
from storagebus.drivers import create

root = {"rootdirectory": sys.argv[1]}
sys.exit(main(sys.argv[2:], open_store=lambda target: create("filesystem", root)))
"""


def run(root: Path, closed: str, *args: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, started by a shell."""
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    return subprocess.run(
        [*shell, sys.executable, "-c", SCRIPT, str(root), *args],
        env={**os.environ, "STORAGEBUS_ENDPOINT": "ipc:///nowhere"},
        input="",
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_nobody_needs_the_output(tmp_path: Path, closed: str) -> None:
    (tmp_path / "file").write_bytes(b"content")
    for command in (["ls", "/"], ["cat", "/file"], ["stat", "--json", "/file"]):
        ran = run(tmp_path, closed, *command)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    ran = run(tmp_path, closed, "cat", "/missing")
    assert ran.returncode == 3
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_closed_input_is_no_empty_object(tmp_path: Path) -> None:
    ran = run(tmp_path, "<&-", "put", "-", "/file")
    assert ran.returncode != 0
    assert ran.stderr.startswith("storagebus: ")
    assert ran.stderr.count("\n") == 1
    assert not (tmp_path / "file").exists()

"""A socket that this user may not use: said at once, not at the deadline."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storagebus.client.permission import check_permission
from storagebus.drivers.errors import AccessDeniedError

SCRIPT = """
import asyncio, os, sys, time
from storagebus.client import AsyncClient, Client
from storagebus.drivers.errors import StorageError

def ask(endpoint, deadline):
    started = time.monotonic()
    with Client(endpoint, deadline=deadline) as client:
        try:
            client.stat("/a")
        except StorageError as error:
            print(type(error).__name__, time.monotonic() - started < 2, error)

async def ask_async(endpoint, deadline):
    started = time.monotonic()
    async with AsyncClient(endpoint, deadline=deadline) as client:
        try:
            await client.stat("/a")
        except StorageError as error:
            print(type(error).__name__, time.monotonic() - started < 2, error)

nobody, denied = sys.argv[1:]
# All that is imported late is there before the user changes.
ask(nobody, 0.2)
asyncio.run(ask_async(nobody, 0.2))
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
ask(denied, 20)
asyncio.run(ask_async(denied, 20))
ask([denied, nobody], 0.2)
"""


@pytest.fixture
def listening() -> Iterator[Path]:
    """A socket in a directory that everybody may enter, as pytest's own are not."""
    top = Path(tempfile.mkdtemp(prefix="sb"))
    top.chmod(0o755)
    folder = top / "s"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "c"))
        listener.listen()
        yield folder / "c"
        folder.chmod(0o700)
    shutil.rmtree(top)


@pytest.mark.parametrize("closed", ["socket", "folder"])
def test_it_is_said_at_once(listening: Path, closed: str) -> None:
    (listening if closed == "socket" else listening.parent).chmod(0o000)
    words = [f"ipc://{listening.parents[1]}/none", f"ipc://{listening}"]
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    before, before_async, said, said_async, one_of_two = ran.stdout.splitlines()
    assert before.startswith("UnavailableError")
    assert before_async.startswith("UnavailableError")
    assert said == said_async
    assert said.startswith("AccessDeniedError True bus: access denied: user ")
    assert f"may not connect to ipc://{listening}: " in said
    assert one_of_two.startswith("UnavailableError")  # the other may come


def test_what_is_not_there_may_come(tmp_path: Path) -> None:
    check_permission([f"ipc://{tmp_path}/none", "tcp://127.0.0.1:1"])


def test_it_is_the_system_that_is_asked(
    listening: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_permission([f"ipc://{listening}"])
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(AccessDeniedError):
        check_permission([f"ipc://{listening}"])
    check_permission([f"ipc://{listening}", "tcp://127.0.0.1:1"])

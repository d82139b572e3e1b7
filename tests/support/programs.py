"""Driver executables that a test writes, and what is left of them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import psutil

GONE_S_MAX = 20.0

DRIVER = """
import os, sys, time, threading
from pathlib import Path
from storagebus.drivers import create
from storagebus.drivers.checked import Checked
from storagebus.drivers.contract import Capabilities
from storagebus.workers import parameters, serve

given = parameters()
"""
"""How a program begins that is a driver."""

ACME = (
    DRIVER
    + """
import signal, subprocess
from dataclasses import replace
from storagebus.drivers import FileInfo
from storagebus.drivers.filesystem import FilesystemDriver
from storagebus.drivers.progress import step

class Acme(FilesystemDriver):
    name = "acme"

    def stat(self, path):
        if path == "/pid":
            return FileInfo(path, os.getpid(), None, False)
        if path == "/hang":
            time.sleep(3_600)
        if path == "/fatal":
            os._exit(9)
        if path.startswith("/sleep/"):
            time.sleep(float(path.removeprefix("/sleep/")))
        return super().stat(path)

    def move(self, source, destination):
        if destination.startswith("/fatal"):
            print("the disk is on fire", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)  # another thread may be the one that gets it
        self._linger(destination)
        super().move(source, destination)

    def delete(self, path):
        self._linger(path)
        super().delete(path)

    def _linger(self, path):
        if path == "/hang":
            time.sleep(3_600)
        if path == "/long":
            for _ in range(30):
                time.sleep(0.1)
                step()

given.pop("secret", None)
if given.pop("grandchild", False):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)", __file__])
if not given.pop("resume", True):
    Acme.capabilities = replace(Acme.capabilities, resume=False)
serve(Acme(**given))
"""
)
"""A driver on a file system that misbehaves at certain paths; `stat("/pid")` has the
number of its process as the size."""


class Programs:
    """A directory of executables named `registry-storage-NAME`.

    Args:
        directory: it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(self, name: str, body: str, *, shebang: str | None = None) -> Path:
        """Write an executable, in one step, as an installer does.

        Args:
            name: the driver's.
            body: Python.
            shebang: its interpreter instead of this Python.
        """
        path = self.directory / f"registry-storage-{name}"
        fresh = path.with_suffix(".new")
        fresh.write_text(f"#!{shebang or sys.executable}\n{dedent(body)}")
        fresh.chmod(0o755)
        fresh.rename(path)
        return path

    def running(self) -> list[psutil.Process]:
        """Processes that run one of them, or came from one that did."""
        return [
            process
            for process in psutil.process_iter()
            if str(self.directory) in " ".join(_command(process))
        ]

    def await_none(self) -> None:
        """Wait until none runs."""
        assert wait_until(lambda: not self.running(), GONE_S_MAX), self.running()


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for a condition; whether it came true."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not as a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def secrets_seen(secret: str, pids: list[int]) -> list[str]:
    """Where in /proc a secret of processes can be seen, by name of the file."""
    seen = []
    for pid in pids:
        for name in ("cmdline", "environ"):
            if secret.encode() in Path(f"/proc/{pid}/{name}").read_bytes():
                seen.append(f"{pid}/{name}")
    return seen


def _command(process: psutil.Process) -> list[str]:
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return []
        return process.cmdline()
    except psutil.Error:
        return []

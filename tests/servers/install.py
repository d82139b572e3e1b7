"""Installing servers for the tests: from PyPI into build/servers, or from Debian."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(
    os.environ.get("STORAGEBUS_SERVERS")
    or Path(__file__).resolve().parents[2] / "build" / "servers"
)
INSTALL_S_MAX = 600
APT_GET = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")
"""Waits for another installation on this machine instead of failing."""


class CannotInstall(RuntimeError):
    """A server that the tests need is not here and cannot be had."""


@contextmanager
def alone() -> Iterator[None]:
    """Keeps other test runs from installing at the same time."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def python_package(requirement: str, program: str) -> Path:
    """The folder of the programs of a package, in an environment of its own.

    Args:
        requirement: for pip, with its version.
        program: one that must be there afterwards.
    """
    home = FOLDER / requirement.replace("==", "-")
    programs = home / "bin"
    with alone():
        if not (programs / program).exists():
            venv.create(home, with_pip=True, clear=True)
            run(programs / "python", "-m", "pip", "install", "-q", requirement)
    if not (programs / program).exists():
        raise CannotInstall(f"{requirement} brings no {program}")
    return programs


def debian_packages(*names: str) -> None:
    """See to it that Debian packages are installed, without starting their services."""
    with alone():
        asked = subprocess.run(["dpkg", "-s", *names], capture_output=True)
        if asked.returncode == 0:
            return
        if os.geteuid() != 0:
            raise CannotInstall(f"as root: apt-get install {' '.join(names)}")
        policy = Path("/usr/sbin/policy-rc.d")
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            run(*APT_GET, "update")
            run(*APT_GET, "install", "-y", "--no-install-recommends", *names)
        finally:
            if ours:
                policy.unlink()


def run(*command: str | Path) -> None:
    """Run a command that has to succeed."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        [str(word) for word in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_S_MAX,
    )
    if done.returncode:
        output = (done.stdout + done.stderr)[-2000:]
        raise CannotInstall(f"{' '.join(map(str, command))} failed:\n{output}")


if __name__ == "__main__":
    sys.exit("import this; see tests/servers/run.py")

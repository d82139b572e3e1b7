"""The driver in JavaScript: its packages, and processes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from real_bus import RealBroker

HOME = Path(__file__).parents[2]
SOURCES = HOME / "tests" / "examples" / "javascript"
PLACE = HOME / "build" / "javascript"
NODE_MAJOR_MIN = 20
INSTALL_S_MAX = 120
EXIT_S_MAX = 10


def command(*words: str | Path, seconds: float = EXIT_S_MAX, **more: Any) -> Any:
    """Run a command to its end; its output is captured as text."""
    return subprocess.run(
        words, capture_output=True, text=True, timeout=seconds, check=False, **more
    )


def need_node() -> None:
    """Fail, with what to do about it, where node or npm is missing or too old."""
    how = (
        f"; install Node.js {NODE_MAJOR_MIN} or later with npm "
        "(on Debian, as root: apt-get install nodejs npm)"
    )
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.fail(f"{tool} is not on PATH{how}")
    version = command("node", "--version").stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < NODE_MAJOR_MIN:
        pytest.fail(f"node is {version}{how}")


def install() -> Path:
    """Where the executable is, with the packages that it needs, all under build/."""
    need_node()
    binaries = PLACE / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    lock = (SOURCES / "package-lock.json").read_bytes()
    done = PLACE / "installed-lock.json"
    for path in [*SOURCES.glob("*.js"), *SOURCES.glob("package*.json")]:
        shutil.copy(path, PLACE)
    if not done.exists() or done.read_bytes() != lock:
        # The packages ship what they need, so that none of their scripts has to run.
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        ran = command(*npm, cwd=PLACE, seconds=INSTALL_S_MAX)
        assert ran.returncode == 0, f"{' '.join(npm)}: {ran.stderr}"
        done.write_bytes(lock)
    executable = binaries / "registry-storage-jsmemory"
    executable.unlink(missing_ok=True)
    executable.symlink_to("../driver.js")
    return binaries


class Workers:
    """Starts the executable by hand, as the spawn contract says, and ends it."""

    def __init__(self, executable: Path) -> None:
        self._executable = executable
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self, *brokers: RealBroker, argument: str = "{}", fd: int = -1, **env: str
    ) -> subprocess.Popen[str]:
        """A worker of service `default`; serves some time later.

        Args:
            brokers: those that it joins.
            argument: argv[1].
            fd: descriptor of the contract, if there is to be one.
            env: variables of the contract, without their common beginning.
        """
        endpoint = ",".join(broker.workers for broker in brokers)
        given = {"ENDPOINT": endpoint, "SERVICE": "default"} | env
        if fd >= 0:
            given["FD"] = str(fd)
        variables = {f"STORAGEBUS_WORKER_{name}": text for name, text in given.items()}
        worker = subprocess.Popen(
            [self._executable, argument],
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[fd] if fd >= 0 else [],
        )
        self._started.append(worker)
        return worker

    def serving(self, *brokers: RealBroker, **more: Any) -> subprocess.Popen[str]:
        """A worker that every broker has."""
        worker = self.start(*brokers, **more)
        for broker in brokers:
            broker.wait_for_workers(1)
        return worker

    def close(self) -> None:
        """End those that are left."""
        for worker in self._started:
            worker.kill()
            worker.communicate()

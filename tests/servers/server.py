"""A server under test: its processes, its data, and how it starts and dies."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

START_S_MAX = 90.0
STOP_S_MAX = 5.0
PORTS = range(12_000, 22_000, 50)
"""Where blocks of ports begin: with 10,000 added, still below what systems give to
clients, one of which might have it by the time that the server wants it."""


class Server(ABC):
    """A server on loopback, with data of its own.

    It dies with the process that started it (`setpriv --pdeathsig`).

    Attributes:
        name: as in `run.py NAME`.
        ports: how many it needs in a row.
        access_key, secret_key: what it lets in.
    """

    name = ""
    ports = 1
    offsets: tuple[int, ...] = (0,)
    access_key = "testkey"
    secret_key = "testsecret123"

    def __init__(self) -> None:
        self.data = Path(tempfile.mkdtemp(prefix=f"storagebus-{self.name}-"))
        self.port = free_ports(self.ports, self.offsets)
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @abstractmethod
    def install(self) -> None:
        """See to it that the programs are here."""

    @abstractmethod
    def launch(self) -> None:
        """Start the processes, and return when they answer."""

    def start(self) -> Server:
        """Install and start; returns the server itself."""
        self.install()
        try:
            self.launch()
        except BaseException:
            self.remove()
            raise
        return self

    def kill(self) -> None:
        """End all processes at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End all processes in order."""
        self._end(signal.SIGTERM)

    def remove(self) -> None:
        """End all processes and remove the data."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def spawn(self, *command: str | Path, **environment: str) -> None:
        """Start one process in the background; its output goes to a log."""
        name = Path(command[0]).name
        with (self.data / f"{name}-{len(self.processes)}.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.data,
                    env={**os.environ, **environment},
                    start_new_session=True,
                )
            )

    def wait_for(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds, while the processes live."""
        end = time.monotonic() + START_S_MAX
        while not ready():
            dead = [process for process in self.processes if process.poll() is not None]
            if dead or time.monotonic() > end:
                why = f"{dead[0].args} ended" if dead else f"not within {START_S_MAX} s"
                raise RuntimeError(f"{self.name}: no {what}: {why}\n{self.logs()}")
            time.sleep(0.1)

    def logs(self) -> str:
        """The ends of the logs."""
        texts = [path.read_text(errors="replace") for path in self.data.glob("*.log")]
        return "\n".join(text[-1500:] for text in texts)

    def _end(self, how: signal.Signals) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, how)
        for process in self.processes:
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_S_MAX)
        self.processes.clear()


def answers(url: str, text: str = "") -> bool:
    """Whether a URL is answered, by a body that holds `text`."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return text in response.read(100_000).decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return text in error.read(100_000).decode(errors="replace")
    except OSError:
        return False


def free_ports(count: int, offsets: tuple[int, ...] = (0,)) -> int:
    """The first of `count` ports in a row that nobody uses, at each offset too."""
    start = os.getpid() % len(PORTS)
    for turn in range(len(PORTS)):
        first = PORTS[(start + turn) % len(PORTS)]
        wanted = [first + offset + port for offset in offsets for port in range(count)]
        if all(_is_free(port) for port in wanted):
            return first
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

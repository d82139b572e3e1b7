"""What a chaos run consists of: its settings, its programs and where they lie."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from servers.faultproxy import FaultProxy
from servers.install import CannotInstall

from .client import Task
from .fleet import Program
from .lane import Mix
from .namespace import CannotIsolate, Namespace
from .objectstore import ObjectStore
from .schedule import CALM

TESTS = Path(__file__).resolve().parents[1]
STORAGEBUS = (sys.executable, "-P", "-m", "storagebus.conf")
STORE_WORKERS = 2
PROXIED, FAR = 1, 2
"""Numbers of the broker behind a proxy, and of the one on a host of its own."""
FAR_PORTS = (7400, 7401)
FULL_BYTES = 3_000_000
"""Room on the disk that is meant to be full."""

FAULTS: Mapping[str, object] = {
    "rules": [
        {"kind": kind, "when": when, "probability": 0.002}
        for kind, when in (
            ("exit", "call"),
            ("abort", "running"),
            ("segv", "answer"),
            ("exit", "replied"),
            ("disconnect", "answer"),
            ("disconnect", "call"),
        )
    ]
    + [
        {"kind": "stop", "when": "running", "probability": 0.0005},
        {"kind": "delay", "seconds": 0.5, "probability": 0.01},
        {"kind": "error", "error": "UNAVAILABLE", "probability": 0.005},
        {"kind": "error", "error": "THROTTLED", "probability": 0.005},
    ]
}
"""The plan of the workers that fail on purpose."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is.

    Attributes:
        seed: of load, strikes and faults; which process does what when is not in its
            power.
        seconds: how long at most.
        transfers: how many at most; None for as many as there is time for.
        brokers, workers, clients: processes; of the workers `faulty` have a plan.
        lanes: transfers at once in each client process.
        deadline_s: of every call.
        slack_s: how much longer a call may take on a loaded machine.
        every_s: mean seconds between strikes, by their kind.
        mix: what the clients do.
        is_networked: whether one broker is reached over TCP, through a proxy, and one
            is on a host of its own, as far as the machine allows that.
        has_full_disk: whether a service on a small disk runs beside.
        has_store: whether a service on an object store does.
    """

    seed: int = 1
    seconds: float = 20.0
    transfers: int | None = None
    brokers: int = 3
    workers: int = 6
    faulty: int = 1
    clients: int = 4
    lanes: int = 4
    deadline_s: float = 30.0
    slack_s: float = 10.0
    every_s: Mapping[str, float] = field(default_factory=lambda: dict(CALM))
    mix: Mix = field(default_factory=Mix)
    is_networked: bool = True
    has_full_disk: bool = True
    has_store: bool = False


@dataclass(slots=True)
class Door:
    """A broker's address as it listens, and as others reach it."""

    listens: str
    reached: str
    proxy: FaultProxy | None = None


class Scene:
    """Folders, addresses and programs; to be closed.

    Args:
        settings: of the run.

    Attributes:
        folder: everything lies below it.
        skipped: what this machine does not allow, in words.
        doors: by broker: of clients and of workers.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.skipped: list[str] = []
        memory = Path("/dev/shm")
        usable = memory.is_dir() and os.access(memory, os.W_OK)
        self.folder = Path(
            tempfile.mkdtemp(prefix="sbc", dir=memory if usable else None)
        )
        self.root = self.folder / "root"
        self.full = self.folder / "full"
        for directory in (self.root, self.full):
            directory.mkdir()
        self.has_full_disk = settings.has_full_disk and self._mount_full_disk()
        self.store = self._start_store() if settings.has_store else None
        self.namespace = self._isolate() if settings.is_networked else None
        self.doors = {f"broker-{n}": self._doors(n) for n in range(settings.brokers)}

    @property
    def endpoints(self) -> list[str]:
        """For clients, of all brokers."""
        return [clients.reached for clients, _ in self.doors.values()]

    @property
    def proxies(self) -> list[FaultProxy]:
        """Of the broker that is reached over TCP."""
        return [door.proxy for two in self.doors.values() for door in two if door.proxy]

    def brokers(
        self, services: Sequence[str] = ("default", "full", "store")
    ) -> list[Program]:
        """The brokers, which expect these services."""
        expected = [word for name in services for word in ("--service", name)]
        return [
            Program(
                "broker",
                name,
                fixed(
                    *self._host_of(name),
                    *(*STORAGEBUS, "broker", *expected),
                    *("--clients", clients.listens, "--workers", workers.listens),
                    "--allow-unauthenticated-network",
                ),
                {"STORAGEBUS_BROKER_ID": name},
                "broker ready",
            )
            for name, (clients, workers) in self.doors.items()
        ]

    def is_far(self, name: str) -> bool:
        """Whether a broker is on a host of its own."""
        return self.namespace is not None and name == f"broker-{FAR}"

    def _host_of(self, name: str) -> tuple[str, ...]:
        return self.namespace.prefix if self.namespace and self.is_far(name) else ()

    def workers(self) -> list[Program]:
        """The workers, some of which fail on purpose."""
        settings = self.settings
        programs = [
            self.worker("default", n, self.root) for n in range(settings.workers)
        ]
        for number, program in enumerate(programs[: settings.faulty]):
            plan = {**FAULTS, "seed": settings.seed * 1000 + number}
            program.env["STORAGEBUS_WORKER_FAULTS"] = json.dumps(plan)
            program.codes = frozenset({70, -6, -11})
        if self.has_full_disk:
            full = self.worker("full", 0, self.full)
            full.kind = "full-worker"
            programs.append(full)
        if self.store is not None:
            programs += [self._store_worker(n) for n in range(STORE_WORKERS)]
        return programs

    def worker(self, service: str, number: int, root: Path) -> Program:
        """A worker of a service."""
        doors = ",".join(workers.reached for _, workers in self.doors.values())
        given = json.dumps({"rootdirectory": str(root)})
        return Program(
            "worker",
            f"worker-{service}-{number}",
            fixed(
                *(*STORAGEBUS, "worker", service, "--endpoint", doors),
                *("--driver", "filesystem", "--parameters", given),
            ),
            ready="joined broker",
        )

    def clients(self) -> list[Program]:
        """The clients, every other one on asyncio."""
        programs = [
            self.client("client", n, "default", ("sync", "async")[n % 2])
            for n in range(self.settings.clients)
        ]
        if self.has_full_disk:
            programs.append(self.client("full-client", 0, "full", "sync", lanes=2))
        if self.store is not None:
            programs.append(self.client("store-client", 0, "store", "async", lanes=4))
        return programs

    def _store_worker(self, number: int) -> Program:
        assert self.store is not None
        program = self.worker("store", number, self.root)
        words = list(program.command())
        words[words.index("filesystem")] = "s3"
        words[-1] = json.dumps(self.store.parameters)
        return Program(
            "store-worker", program.name, fixed(*words), ready="joined broker"
        )

    def client(
        self, kind: str, number: int, service: str, style: str, lanes: int = 0
    ) -> Program:
        """A client process; each start has a name and a ledger of its own."""
        settings = self.settings
        starts = 0

        def command() -> Sequence[str]:
            nonlocal starts
            starts += 1
            name = f"{service}-{number}-{starts}"
            task = Task(
                name,
                self.endpoints,
                service,
                style,
                lanes or settings.lanes,
                settings.deadline_s,
                settings.slack_s,
                settings.seed,
                str(self.folder / f"{name}.ledger"),
                settings.mix,
            )
            return sys.executable, "-P", "-m", "chaos.client", task.to_json()

        return Program(
            kind, f"{kind}-{number}", command, {"PYTHONPATH": python_path(TESTS)}
        )

    def ledgers(self, service: str = "") -> list[Path]:
        """Those of a service; "" for all."""
        return sorted(self.folder.glob(f"{service}*.ledger"))

    def close(self) -> None:
        """Remove all of it."""
        for proxy in self.proxies:
            proxy.close()
        if self.store is not None:
            self.store.close()
        if self.namespace is not None:
            self.namespace.close()
        if self.has_full_disk:
            subprocess.run(["umount", self.full], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _doors(self, number: int) -> tuple[Door, Door]:
        if self.settings.is_networked and number == PROXIED:
            clients, workers = (self._proxied() for _ in range(2))
            return clients, workers
        if self.namespace is not None and number == FAR:
            addresses = [f"tcp://{self.namespace.address}:{port}" for port in FAR_PORTS]
        else:
            addresses = [f"ipc://{self.folder}/b{number}.{door}" for door in "cw"]
        return Door(addresses[0], addresses[0]), Door(addresses[1], addresses[1])

    def _proxied(self) -> Door:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        proxy = FaultProxy(port)
        reached = f"tcp://127.0.0.1:{proxy.port}"
        return Door(f"tcp://127.0.0.1:{port}", reached, proxy)

    def _isolate(self) -> Namespace | None:
        try:
            return Namespace()
        except CannotIsolate as error:
            self.skipped.append(str(error))
            return None

    def _start_store(self) -> ObjectStore | None:
        try:
            return ObjectStore()
        except CannotInstall as error:
            self.skipped.append(f"object store: {error}")
            return None

    def _mount_full_disk(self) -> bool:
        options = f"size={FULL_BYTES}"
        with suppress(OSError):
            mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.full)]
            if subprocess.run(mount, capture_output=True).returncode == 0:
                return True
        self.skipped.append("full disk: no file system can be mounted here")
        return False


def python_path(*first: object) -> str:
    """PYTHONPATH with these before what it has here."""
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([*map(str, first), *([inherited] if inherited else [])])


def fixed(*words: str) -> Callable[[], Sequence[str]]:
    """A command line that is always the same."""
    return lambda: words

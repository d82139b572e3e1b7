"""A rolling upgrade under load: brokers, workers and driver executables, one by one.

Brokers go first, as a broker serves workers of an older minor and not of a newer one;
back to the older release it is the other way round.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from storagebus.client import Client

from .check import Findings, inspect
from .fleet import Fleet, Member, Program, State
from .ledger import Account, settle
from .releases import make_next
from .scene import TESTS, Scene, Settings, fixed, python_path

LOOK_S = 0.02
WAIT_S_MAX = 60.0
BETWEEN_S = 0.3
"""Work between two replacements."""
SETTINGS = Settings(
    brokers=2, workers=2, faulty=0, clients=2, is_networked=False, has_full_disk=False
)
SERVICES = ("default", "acme")
ACME = """\
#!{python}
import sys
sys.path[:0] = {paths!r}
from storagebus.drivers.filesystem import FilesystemDriver
from storagebus.workers import parameters, serve

class Acme(FilesystemDriver):
    name = "acme"

serve(Acme(**parameters()))
"""


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        account: of the ledgers.
        findings: of the comparison at the end.
        crashes: ends of processes that nobody asked for, and bad ones.
        seen: the pairs of driver interfaces (least, greatest) that served at once.
        replaced: processes.
        seconds: that it took.
    """

    account: Account
    findings: Findings
    crashes: list[str]
    seen: set[tuple[str, str]] = field(default_factory=set)
    replaced: int = 0
    seconds: float = 0.0

    @property
    def problems(self) -> list[str]:
        """What must not be, in words."""
        notes = self.account.notes
        kinds = ("failure", "wrong", "hanging", "late", "leak")
        found = [f"{kind}: {note}" for kind in kinds for note in notes.get(kind, [])]
        found += self.findings.lost + self.findings.wrong + self.findings.unlisted
        return found + self.crashes

    def to_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "line": self.line(),
            "problems": self.problems,
            "replaced": self.replaced,
            "seconds": round(self.seconds, 1),
            "transfers": self.account.count("transfer"),
            "interfaces": sorted(self.seen),
        }

    def line(self) -> str:
        """The statistics in one line."""
        count = self.account.count
        return (
            f"rolling upgrade: {self.replaced} processes replaced in "
            f"{self.seconds:.0f} s under {count('transfer')} transfers: "
            f"{count('failure')} failed, {len(self.findings.lost)} lost, "
            f"{len(self.findings.wrong) + count('wrong')} wrong, "
            f"{count('hanging') + count('late')} past the deadline, "
            f"{len(self.crashes)} crashes"
        )


class Upgrade:
    """A bus that is upgraded, and taken back.

    Args:
        seed: of the load.
        say: told of each phase.
    """

    def __init__(self, seed: int = 1, say: Callable[[str], None] = print) -> None:
        self._say = say
        self._scene = Scene(replace(SETTINGS, seed=seed))
        self._next = make_next(self._scene.folder / "next")
        self._executable = self._scene.folder / "registry-storage-acme"
        self._install([])
        clients = [
            *self._scene.clients(),
            self._scene.client("client", 9, "acme", "async"),
        ]
        workers = [*self._scene.workers(), *(self._acme(n) for n in range(2))]
        brokers = self._scene.brokers(SERVICES)
        self._fleet = Fleet([*brokers, *workers, *clients])
        self._outcome = Outcome(Account(), Findings(), [])

    def run(self, rounds: int) -> Outcome:
        """Upgrade; with more rounds go back, and so on."""
        fleet = self._fleet
        try:
            for kind in ("broker", "worker", "client"):
                fleet.start(kind)
                self._await(
                    lambda kind=kind: all(
                        m.state is State.READY for m in fleet.of(kind)
                    ),
                    f"every {kind}",
                )
            began = time.monotonic()
            for number in range(rounds):
                self._round(is_up=number % 2 == 0)
            self._outcome.seconds = time.monotonic() - began
            return self._finish()
        finally:
            fleet.is_over = True
            fleet.close()
            self._scene.close()

    def _round(self, *, is_up: bool) -> None:
        paths = [str(self._next)] if is_up else []
        self._say(f"to the {'next' if is_up else 'former'} release")
        kinds = ("broker", "worker") if is_up else ("worker", "broker")
        for kind in (*kinds, "client"):
            if kind == "worker":
                self._install(paths)
            for member in self._fleet.of(kind):
                added = [TESTS] if kind == "client" else []
                member.program.env["PYTHONPATH"] = python_path(*paths, *added)
                self._replace(member)

    def _replace(self, member: Member) -> None:
        starts = member.starts
        self._fleet.terminate(member)
        self._await(
            lambda: member.starts > starts and member.state is State.READY,
            f"the successor of {member.program.name}",
        )
        self._outcome.replaced += 1
        self._await_joined()
        ends = time.monotonic() + BETWEEN_S
        self._await(lambda: time.monotonic() > ends, "some work")

    def _await_joined(self) -> None:
        """Every worker has joined every broker, and is known by its interface."""
        for name in self._scene.doors:
            with Client(self._scene.doors[name][0].reached, deadline=5.0) as client:
                self._await(lambda client=client: self._is_joined(client), name)

    def _is_joined(self, client: Client) -> bool:
        services = client.bus_status()["services"]
        for service in SERVICES:
            workers = services[service]["workers"]
            if sum(worker["state"] == "ready" for worker in workers) < 2:
                return False
            versions = [worker["api_version"] for worker in workers]
            self._outcome.seen.add((min(versions), max(versions)))
        return True

    def _finish(self) -> Outcome:
        self._fleet.is_over = True
        self._outcome.crashes += self._fleet.crashes
        self._outcome.crashes += self._fleet.end("client", WAIT_S_MAX)
        self._outcome.account = settle(self._scene.ledgers())
        for service in SERVICES:
            account = settle(self._scene.ledgers(service))
            self._outcome.findings += inspect(account, self._scene.endpoints, service)
        for kind in ("worker", "broker"):
            self._outcome.crashes += self._fleet.end(kind, WAIT_S_MAX)
        return self._outcome

    def _acme(self, number: int) -> Program:
        root = self._scene.folder / "acme"
        program = self._scene.worker("acme", number, root)
        doors = ",".join(workers.reached for _, workers in self._scene.doors.values())
        program.command = fixed(
            str(self._executable), json.dumps({"rootdirectory": str(root)})
        )
        program.env = {
            "STORAGEBUS_WORKER_ENDPOINT": doors,
            "STORAGEBUS_WORKER_SERVICE": "acme",
        }
        return program

    def _install(self, paths: Sequence[str]) -> None:
        """Replace the executable in one step, as an installer does."""
        fresh = self._executable.with_suffix(".new")
        fresh.write_text(ACME.format(python=sys.executable, paths=list(paths)))
        fresh.chmod(0o755)
        fresh.rename(self._executable)

    def _await(self, holds: Callable[[], bool], what: str) -> None:
        ends = time.monotonic() + WAIT_S_MAX
        while not holds():
            self._fleet.look()
            lines = [list(m.lines)[-3:] for m in self._fleet.members.values()]
            assert time.monotonic() < ends, f"not in time: {what}; {lines}"
            time.sleep(LOOK_S)

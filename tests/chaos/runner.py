"""A chaos run from its beginning to its report."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from math import inf
from pathlib import Path

from .check import Findings, inspect
from .fleet import Fleet, Member, State
from .leaks import left_on_disk, unsettled
from .ledger import Ledger, settle
from .report import Report
from .scene import FAR, PROXIED, Scene, Settings
from .schedule import STORE_LASTS, Strike, strikes

LOOK_S = 0.01
COUNT_S = 0.2
START_S_MAX = 60.0
END_S_MAX = 60.0
SETTLE_S_MAX = 90.0
"""A request of the s3 driver's may hold a segment until it gives up, after a minute."""
SLOW = {"latency_s": 0.03}

WORKERS = ("worker", "full-worker", "store-worker")
CLIENTS = ("client", "full-client", "store-client")

Say = Callable[[str], None]


class Run:
    """One run.

    Args:
        settings: how it is.
        say: told of each phase.
        keep_ledgers: folder for the ledgers, to be looked at afterwards.
    """

    def __init__(
        self,
        settings: Settings,
        say: Say = lambda line: None,
        keep_ledgers: Path | None = None,
    ) -> None:
        self.settings = settings
        self._say = say
        self._scene = Scene(settings)
        programs = [
            *self._scene.brokers(),
            *self._scene.workers(),
            *self._scene.clients(),
        ]
        self._fleet = Fleet(programs)
        self._struck: Counter[str] = Counter()
        self._cut: dict[str, float] = {}
        self._heal_at: float | None = None
        self._read: dict[Path, int] = {}
        self._transfers = 0
        self._notes = Ledger(self._scene.folder / "strikes.log")
        self._keep_ledgers = keep_ledgers

    def report(self) -> Report:
        """Do it all; the processes and files are gone then."""
        try:
            for line in self._scene.skipped:
                self._say(f"SKIPPED: {line}")
            self._start()
            took_s = self._shake()
            return self._finish(took_s)
        finally:
            self._fleet.is_over = True
            self._fleet.close()
            if self._keep_ledgers is not None:
                for file in (*self._scene.ledgers(), *self._scene.folder.glob("*.log")):
                    shutil.copy(file, self._keep_ledgers)
            self._scene.close()

    # -- phases ---------------------------------------------------------------

    def _start(self) -> None:
        self._say("starting")
        for kind in ("broker", *WORKERS):
            self._fleet.start(kind)
            self._await_ready(kind)
        for kind in CLIENTS:
            self._fleet.start(kind)
        self._wait(lambda: self._count() > 0, "the first transfer", START_S_MAX)

    def _shake(self) -> float:
        """Strike until there were enough transfers, or the time is over."""
        settings = self.settings
        self._say("shaking")
        began = time.monotonic()
        coming = strikes(settings.seed, settings.every_s)
        due = next(coming, None)
        count_at = began
        while time.monotonic() - began < settings.seconds:
            now = time.monotonic()
            self._fleet.look()
            while due is not None and now - began >= due.at:
                self._strike(due, now)
                due = next(coming, None)
            self._restore(now)
            if self._heal_at is not None and now >= self._heal_at:
                self._heal()
            if now >= count_at:
                count_at = now + COUNT_S
                if settings.transfers and self._count() >= settings.transfers:
                    break
            time.sleep(LOOK_S)
        return time.monotonic() - began

    def _finish(self, took_s: float) -> Report:
        """Let everything come to rest, and look."""
        fleet, scene = self._fleet, self._scene
        self._say("coming to rest")
        self._restore(inf)
        self._heal()
        for member in fleet.members.values():
            member.resume_at = 0.0 if member.resume_at is not None else None
        for kind in ("broker", *WORKERS):
            self._await_ready(kind)
        patience_s = self.settings.deadline_s + self.settings.slack_s + END_S_MAX
        unclean = [words for kind in CLIENTS for words in fleet.end(kind, patience_s)]
        leaks = self._await_settled()
        self._say("reading everything back")
        findings = Findings()
        for service in ("default", "full", "store"):
            if not scene.ledgers(service):
                continue
            account = settle(scene.ledgers(service))
            findings += inspect(account, scene.endpoints, service)
        self._count()
        fleet.is_over = True
        for kind in (*WORKERS, "broker"):
            unclean += fleet.end(kind, END_S_MAX)
        return Report(
            settings=self.settings,
            seconds=took_s,
            account=settle(scene.ledgers()),
            transfers=self._transfers,
            findings=findings,
            struck=dict(self._struck),
            starts={
                kind: sum(member.starts for member in fleet.of(kind))
                for kind in ("broker", *WORKERS, *CLIENTS)
            },
            crashes=fleet.crashes + unclean,
            leaks=leaks,
            staged=left_on_disk(scene.root),
            skipped=scene.skipped,
        )

    # -- strikes --------------------------------------------------------------

    def _strike(self, strike: Strike, now: float) -> None:
        if strike.kind.startswith("store:"):
            self._strike_store(strike, now)
            return
        action, _, kind = strike.kind.partition("-")
        if not kind:
            self._strike_network(strike, now)
            return
        victims = self._fleet.ready(kind)
        if action == "kill" and kind == "worker":
            victims += self._fleet.ready("full-worker")
            if len(self._fleet.ready("store-worker")) > 1:
                victims += self._fleet.ready("store-worker")
        if len(self._healthy(kind)) < 2 or not victims:
            self._struck["spared"] += 1  # somebody must be there to work
            return
        victim = victims[int(strike.choice * len(victims))]
        self._count_strike(strike, victim.program.name, victim.pid)
        if action == "kill":
            self._fleet.kill(victim)
        elif action == "term":
            self._fleet.terminate(victim)
        else:
            self._fleet.stop(victim, strike.seconds)

    def _count_strike(self, strike: Strike, victim: str, pid: int = 0) -> None:
        self._struck[strike.kind] += 1
        self._notes.note(
            strike.kind, victim=victim, pid=pid, seconds=round(strike.seconds, 2)
        )

    def _healthy(self, kind: str) -> list[Member]:
        """Those that are ready and not cut off."""
        ready = self._fleet.ready(kind)
        return [member for member in ready if member.program.name not in self._cut]

    def _strike_network(self, strike: Strike, now: float) -> None:
        scene = self._scene
        number = FAR if strike.kind == "unplug" else PROXIED
        name = f"broker-{number}"
        others = [m for m in self._healthy("broker") if m.program.name != name]
        possible = scene.namespace if number == FAR else scene.proxies
        if not possible or not others or name in self._cut:
            self._struck["spared"] += 1
            return
        self._count_strike(strike, name)
        if strike.kind == "reset":
            for proxy in scene.proxies:
                proxy.kill_connections()
            return
        self._cut[name] = now + strike.seconds
        if scene.namespace is not None and number == FAR:
            scene.namespace.unplug()
        for proxy in scene.proxies if number == PROXIED else ():
            proxy.set(**({"stalled": True} if strike.kind == "cut" else SLOW))

    def _strike_store(self, strike: Strike, now: float) -> None:
        store = self._scene.store
        if store is None or self._heal_at is not None:
            return
        self._count_strike(strike, "store")
        store.harm(strike.kind.partition(":")[2])
        if strike.kind in STORE_LASTS:
            self._heal_at = now + strike.seconds

    def _heal(self) -> None:
        self._heal_at = None
        if self._scene.store is not None:
            self._scene.store.heal()

    def _restore(self, now: float) -> None:
        """Mend what has been cut off for long enough."""
        for name, ends in list(self._cut.items()):
            if now < ends:
                continue
            del self._cut[name]
            if self._scene.namespace is not None and self._scene.is_far(name):
                self._scene.namespace.plug_in()
            else:
                for proxy in self._scene.proxies:
                    proxy.set()

    # -- waiting --------------------------------------------------------------

    def _await_ready(self, kind: str) -> None:
        members = self._fleet.of(kind)
        self._wait(
            lambda: all(member.state is State.READY for member in members),
            f"all of {kind}",
            START_S_MAX,
        )

    def _await_settled(self) -> list[str]:
        """What brokers and workers still hold when nobody wants anything."""
        ends = time.monotonic() + SETTLE_S_MAX
        pids = [m.pid for kind in WORKERS for m in self._fleet.of(kind)]
        while True:
            self._fleet.look()
            held = unsettled(self._scene, pids)
            if not held or time.monotonic() > ends:
                return held
            time.sleep(0.3)

    def _wait(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not holds():
            self._fleet.look()
            if time.monotonic() > ends:
                states = {
                    m.program.name: (m.state.value, list(m.lines)[-3:])
                    for m in self._fleet.members.values()
                    if m.state is not State.READY
                }
                raise TimeoutError(f"not within {seconds} s: {what}; {states}")
            time.sleep(LOOK_S)

    def _count(self) -> int:
        """Transfers so far, from what was added to the ledgers."""
        for path in self._scene.ledgers("default"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                text = file.read()
            whole = text.rfind(b"\n") + 1
            self._read[path] = self._read.get(path, 0) + whole
            self._transfers += text[:whole].count(b'{"event": "transfer"')
        return self._transfers

"""A chaos run from its beginning to its report."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from .check import Findings, inspect
from .fleet import Fleet, Member, State
from .leaks import left_on_disk, unsettled
from .ledger import settle
from .report import Report
from .scene import Scene, Settings
from .schedule import Strike, strikes

LOOK_S = 0.01
COUNT_S = 0.2
START_S_MAX = 60.0
END_S_MAX = 60.0
SETTLE_S_MAX = 30.0

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
        self._restore_at: float | None = None
        self._read: dict[Path, int] = {}
        self._transfers = 0
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
                for ledger in self._scene.ledgers():
                    shutil.copy(ledger, self._keep_ledgers)
            self._scene.close()

    # -- phases ---------------------------------------------------------------

    def _start(self) -> None:
        self._say("starting")
        for kind in ("broker", "worker", "full-worker"):
            self._fleet.start(kind)
            self._await_ready(kind)
        for kind in ("client", "full-client"):
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
            if self._restore_at is not None and now >= self._restore_at:
                self._restore()
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
        self._restore()
        for member in fleet.members.values():
            member.resume_at = 0.0 if member.resume_at is not None else None
        self._await_ready("broker")
        self._await_ready("worker")
        self._await_ready("full-worker")
        patience_s = self.settings.deadline_s + self.settings.slack_s + END_S_MAX
        unclean = fleet.end("client", patience_s) + fleet.end("full-client", patience_s)
        leaks = self._await_settled()
        self._say("reading everything back")
        findings = Findings()
        for service in ("default", "full") if scene.has_full_disk else ("default",):
            account = settle(scene.ledgers(service))
            findings += inspect(account, scene.endpoints, service)
        self._count()
        fleet.is_over = True
        for kind in ("full-worker", "worker", "broker"):
            unclean += fleet.end(kind, END_S_MAX)
        return Report(
            settings=self.settings,
            seconds=took_s,
            account=settle(scene.ledgers()),
            transfers=self._transfers,
            findings=findings,
            struck=dict(self._struck),
            starts={kind: sum(m.starts for m in fleet.of(kind)) for kind in KINDS},
            crashes=fleet.crashes + unclean,
            leaks=leaks,
            staged=left_on_disk(scene.root),
            skipped=scene.skipped,
        )

    # -- strikes --------------------------------------------------------------

    def _strike(self, strike: Strike, now: float) -> None:
        action, _, kind = strike.kind.partition("-")
        if not kind:
            self._strike_network(strike, now)
            return
        victims = self._fleet.ready(kind)
        if action == "kill" and kind == "worker":
            victims += self._fleet.ready("full-worker")
        if len(self._healthy(kind)) < 2 or not victims:
            self._struck["spared"] += 1  # somebody must be there to work
            return
        victim = victims[int(strike.choice * len(victims))]
        self._struck[strike.kind] += 1
        if action == "kill":
            self._fleet.kill(victim)
        elif action == "term":
            self._fleet.terminate(victim)
        else:
            self._fleet.stop(victim, strike.seconds)

    def _healthy(self, kind: str) -> list[Member]:
        ready = self._fleet.ready(kind)
        if kind == "broker" and self._restore_at is not None:
            # The one that is cut off does not count.
            ready = [m for m in ready if not self._scene.doors[m.program.name][0].proxy]
        return ready

    def _strike_network(self, strike: Strike, now: float) -> None:
        proxies = self._scene.proxies
        others = [
            member
            for member in self._fleet.ready("broker")
            if self._scene.doors[member.program.name][0].proxy is None
        ]
        if not proxies or not others or self._restore_at is not None:
            self._struck["spared"] += 1
            return
        self._struck[strike.kind] += 1
        for proxy in proxies:
            if strike.kind == "reset":
                proxy.kill_connections()
            elif strike.kind == "cut":
                proxy.set(stalled=True)
            else:
                proxy.set(latency_s=0.03)
        if strike.kind != "reset":
            self._restore_at = now + strike.seconds

    def _restore(self) -> None:
        self._restore_at = None
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
        pids = [
            m.pid for kind in ("worker", "full-worker") for m in self._fleet.of(kind)
        ]
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
            self._transfers += text[:whole].count(b'{"event": "transfer"}\n')
        return self._transfers


KINDS = ("broker", "worker", "full-worker", "client", "full-client")

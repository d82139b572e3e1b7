"""What a run has shown: figures, a verdict, a line."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from .check import Findings
from .ledger import Account
from .scene import Settings

FAILED_SHARE_MAX = 0.001
EXAMPLES_MAX = 12
EXPECTED_WHEN_FULL = frozenset({"StorageFullError", "QuotaExceededError"})


@dataclass(slots=True)
class Report:
    """The outcome of a run.

    Attributes:
        settings: how it was.
        seconds: that it was shaken.
        account: the ledgers.
        transfers: of the service that stays healthy.
        findings: of the comparison at the end.
        struck: strikes, by kind.
        starts: of processes, by kind.
        crashes: ends of processes that nobody asked for.
        leaks: what brokers, workers and clients held at the end.
        staged: files in the driver's staging at the end.
        skipped: what the machine did not allow.
        resume_ms: median times from kill -9 to the next byte, by who was killed.
    """

    settings: Settings
    seconds: float
    account: Account
    transfers: int
    findings: Findings
    struck: dict[str, int]
    starts: dict[str, int]
    crashes: list[str]
    leaks: list[str]
    staged: dict[str, int]
    skipped: list[str]
    resume_ms: dict[str, float] = field(default_factory=dict)

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Calls that failed, without those that a full disk explains."""
        return [
            failure
            for failure in self.account.notes.get("failure", [])
            if not (
                failure["path"].startswith("/full-")
                and failure["error"] in EXPECTED_WHEN_FULL
            )
        ]

    @property
    def uncertain(self) -> list[dict[str, Any]]:
        """Of these, moves and deletes that nobody may repeat: they may have run."""
        return [
            failure
            for failure in self.failures
            if failure["what"] in ("move", "delete") and failure["executed"] == "maybe"
        ]

    @property
    def problems(self) -> list[str]:
        """What must not be, in words; empty after a good run."""
        notes = self.account.notes
        leaks = [f"{n['number']} {n['what']}" for n in notes.get("leak", [])]
        found = [f"lost: {words}" for words in self.findings.lost]
        found += [f"wrong: {words}" for words in self.findings.wrong]
        found += [f"listing: {words}" for words in self.findings.unlisted]
        found += [
            f"read wrong: {n['path']}: {n['why']}" for n in notes.get("wrong", [])
        ]
        found += [f"hanging: {n}" for n in notes.get("hanging", [])]
        found += [f"late: {n}" for n in notes.get("late", [])]
        found += [f"crashed: {words}" for words in self.crashes]
        found += [f"leaked: {words}" for words in leaks + self.leaks]
        ownerless = self.staged.get("upload", 0) - self.explained_uploads
        if ownerless > 0:
            found.append(f"leaked: {ownerless} uploads that nobody can have left")
        avoidable = len(self.failures) - len(self.uncertain)
        if avoidable > max(1, self.transfers * FAILED_SHARE_MAX):
            found.append(f"{avoidable} calls failed of {self.transfers} transfers")
        return found

    @property
    def explained_uploads(self) -> int:
        """Uploads that may be left: of killed clients, of those that could not cancel,
        and one for each strike that may have swallowed the word of its opening."""
        strikes = sum(self.struck.values()) - self.struck.get("spared", 0)
        return self.account.unsettled + self.account.count("abandoned") + strikes

    @property
    def kills(self) -> int:
        """Processes killed with -9."""
        return sum(n for kind, n in self.struck.items() if kind.startswith("kill"))

    def line(self) -> str:
        """The statistics in one line."""
        notes = self.account
        resume = "".join(
            f", {who} to next byte {ms:.0f} ms" for who, ms in self.resume_ms.items()
        )
        return (
            f"seed {self.settings.seed}: {self.transfers} transfers in "
            f"{self.seconds:.0f} s, {self.kills} kills "
            f"({sum(self.struck.values()) - self.struck.get('spared', 0)} strikes): "
            f"{len(self.findings.lost)} lost, "
            f"{len(self.findings.wrong) + notes.count('wrong')} wrong, "
            f"{notes.count('hanging') + notes.count('late')} past the deadline, "
            f"{len(self.failures)} failed ({len(self.uncertain)} of them uncertain "
            f"moves and deletes), {len(self.crashes)} crashes, "
            f"{len(self.leaks) + notes.count('leak')} leaks; "
            f"{self.findings.checked} paths compared{resume}"
        )

    def to_json(self) -> dict[str, Any]:
        """All figures."""
        kinds = Counter(
            f"{f['what']} {f['error']} {f['executed']}" for f in self.failures
        )
        return {
            "line": self.line(),
            "problems": self.problems[:EXAMPLES_MAX],
            "problems_total": len(self.problems),
            "settings": asdict(self.settings),
            "seconds": round(self.seconds, 1),
            "transfers": self.transfers,
            "kills": self.kills,
            "struck": self.struck,
            "starts": self.starts,
            "compared": self.findings.checked,
            "failed": dict(kinds),
            "failures": self.failures[:EXAMPLES_MAX],
            "abandoned_uploads": self.account.count("abandoned"),
            "staged": self.staged,
            "staged_explained": self.explained_uploads,
            "resume_ms": self.resume_ms,
            "skipped": self.skipped,
        }

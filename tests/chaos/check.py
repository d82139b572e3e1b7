"""The comparison at the end: what is stored, against what clients were told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from storagebus.client import Client
from storagebus.drivers.contract import StorageDriver
from storagebus.drivers.errors import PathNotFoundError

from .ledger import Account, History

DEADLINE_S = 60.0


@dataclass(slots=True)
class Findings:
    """What was found.

    Attributes:
        checked: paths that were compared.
        lost: paths that hold less than was acknowledged, in words.
        wrong: paths that hold what nobody can have stored there, in words.
        unlisted: paths that a walk shows and should not, or the other way round.
    """

    checked: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    def __iadd__(self, other: Findings) -> Findings:
        self.checked += other.checked
        self.lost += other.lost
        self.wrong += other.wrong
        self.unlisted += other.unlisted
        return self


def inspect(account: Account, endpoints: Sequence[str], service: str) -> Findings:
    """Read everything back through the bus and compare."""
    with Client(list(endpoints), service, DEADLINE_S) as client:
        return compare(account, client)


def compare(account: Account, store: StorageDriver) -> Findings:
    """Read everything back and compare.

    Args:
        account: what clients were told.
        store: where it should be.
    """
    findings = Findings()
    there: set[str] = set()
    for path, history in sorted(account.histories.items()):
        findings.checked += 1
        data: bytes | None
        try:
            data = store.get_content(path)
            there.add(path)
        except PathNotFoundError:
            data = None
        before = list(history.possible)
        if history.seen(data) is not None:
            continue
        found = "nothing" if data is None else f"{len(data)} bytes, {data[:8].hex()}"
        words = f"{path} holds {found}; possible: {before}"
        older = data is None or _is_older(history, data)
        (findings.lost if older else findings.wrong).append(words)
    listed = {info.path for info in store.walk("/") if not info.is_dir}
    findings.unlisted = sorted(listed ^ there)
    return findings


def _is_older(history: History, data: bytes) -> bool:
    """Whether it is whole, and once was what the path held."""
    return any(version.is_read_as(data) for version in history.written)

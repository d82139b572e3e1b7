"""Ledger and comparison: what is right passes, and whatever is not is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from storagebus.drivers import create
from storagebus.drivers.contract import StorageDriver

from .check import Findings, compare
from .content import SIZE_MIN, content
from .ledger import Account, Ledger, Version, settle

PATH = "/c/1/0"
ONE = Version(1, f"{PATH}#1", 5_000)
TWO = Version(2, f"{PATH}#2", 7_000)
GONE = Version(3)


def told(folder: Path, *outcomes: tuple[Version, str]) -> Account:
    """What a ledger says in which these writes ended so ("" for not at all)."""
    ledger = Ledger(folder / "x.ledger")
    for version, outcome in outcomes:
        ledger.write("begin", PATH, version)
        if outcome:
            ledger.write(outcome, PATH, version)
    return settle([folder / "x.ledger"])


def found(account: Account, *stored: bytes) -> Findings:
    """What the comparison finds when these contents are stored, the last last."""
    store: StorageDriver
    with create("inmemory") as store:
        for data in stored:
            store.put_content(PATH, data)
        return compare(account, store)


def bytes_of(version: Version) -> bytes:
    return content(version.origin, version.size)


def test_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    account = told(tmp_path, (ONE, "done"), (TWO, "done"))
    assert found(account, bytes_of(TWO)) == Findings(checked=1)


@pytest.mark.parametrize("outcome", ["unknown", ""])
def test_an_unknown_outcome_may_be_either(tmp_path: Path, outcome: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder, stored in (("a", ONE), ("b", TWO)):
        account = told(tmp_path / folder, (ONE, "done"), (TWO, outcome))
        assert found(account, bytes_of(stored)) == Findings(checked=1)


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda: (), "lost"),
        (lambda: (bytes_of(ONE),), "lost"),
        (lambda: (bytes_of(TWO)[:-1],), "wrong"),
        (lambda: (bytes_of(TWO) + b"x",), "wrong"),
        (lambda: (bytes_of(TWO)[:3_000] + bytes_of(ONE)[3_000:],), "wrong"),
        (lambda: (bytes_of(TWO)[:40] + bytes_of(TWO)[39:-1],), "wrong"),
        (lambda: (bytes_of(Version(1, "/c/1/1#1", 7_000)),), "wrong"),
        (lambda: (b"",), "wrong"),
    ],
)
def test_anything_else_is_found(
    tmp_path: Path, damage: Callable[[], tuple[bytes, ...]], kind: str
) -> None:
    account = told(tmp_path, (ONE, "done"), (TWO, "done"))
    findings = found(account, *damage())
    assert len(getattr(findings, kind)) == 1
    assert len(findings.lost + findings.wrong) == 1


def test_a_write_that_failed_for_certain_must_not_show(tmp_path: Path) -> None:
    account = told(tmp_path, (ONE, "done"), (TWO, "failed"))
    assert len(found(account, bytes_of(TWO)).lost) == 1  # it replaced the other


def test_what_was_deleted_must_not_come_back(tmp_path: Path) -> None:
    account = told(tmp_path, (ONE, "done"), (GONE, "done"))
    assert len(found(account, bytes_of(ONE)).lost) == 1
    (tmp_path / "x.ledger").unlink()
    account = told(tmp_path, (ONE, "done"), (GONE, "unknown"))
    assert found(account, bytes_of(ONE)) == Findings(checked=1)


def test_objects_that_nobody_wrote_are_found(tmp_path: Path) -> None:
    account = told(tmp_path, (ONE, "done"))
    with create("inmemory") as store:
        store.put_content(PATH, bytes_of(ONE))
        store.put_content("/c/1/ghost", b"x")
        assert compare(account, store).unlisted == ["/c/1/ghost"]


def test_what_was_seen_makes_older_versions_impossible(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "x.ledger")
    for version, outcome in ((ONE, "done"), (TWO, "unknown")):
        ledger.write("begin", PATH, version)
        ledger.write(outcome, PATH, version)
    ledger.write("seen", PATH, TWO)
    account = settle([tmp_path / "x.ledger"])
    assert len(found(account, bytes_of(ONE)).lost) == 1


def test_a_part_is_compared_at_its_place() -> None:
    whole = bytes_of(ONE)
    assert ONE.is_read_as(whole[100:200], 100, 200)
    assert ONE.is_read_as(whole[4_900:], 4_900, 6_000)
    assert ONE.is_read_as(b"", 5_000, 5_001)
    assert not ONE.is_read_as(whole[101:201], 100, 200)
    assert not ONE.is_read_as(whole[100:199], 100, 200)
    assert not ONE.is_read_as(None)
    assert not GONE.is_read_as(b"")


def test_a_ledger_may_end_in_the_middle_of_a_line(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "x.ledger")
    ledger.write("begin", PATH, ONE)
    ledger.note("transfer")
    with (tmp_path / "x.ledger").open("a") as file:
        file.write('{"event": "do')
    account = settle([tmp_path / "x.ledger"])
    assert account.count("transfer") == 1
    assert account.histories[PATH].possible == [Version(0), ONE]


def test_contents_differ_from_their_first_byte_on() -> None:
    small = {content(f"/a#{n}", SIZE_MIN)[:8] for n in range(1_000)}
    assert len(small) == 1_000

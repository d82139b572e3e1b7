"""What is remembered of committed uploads."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from storagebus.drivers import commits as module
from storagebus.drivers.commits import MARK_AGE_SECONDS_MAX, Commits, checksum
from storagebus.drivers.tree import Tree

pytestmark = pytest.mark.usefixtures("descriptors")

ID = "0123456789abcdef" * 2
HOUR = 3_600


@pytest.fixture
def commits(tree: Tree) -> Commits:
    return Commits(tree)


def test_a_mark_is_found_by_path_and_id_only(commits: Commits) -> None:
    assert commits.recall("/a", ID) is None
    commits.remember("/a", ID, "5-6-7")
    assert commits.recall("/a", ID) == "5-6-7"
    assert commits.recall("/b", ID) is None
    assert commits.recall("/a", ID[::-1]) is None


def test_a_later_mark_takes_the_place_of_an_earlier(commits: Commits) -> None:
    for identity in ("1-1-1", "2-2-2", "2-2-2"):
        commits.remember("/a", ID, identity)
        assert commits.recall("/a", ID) == identity


def test_a_mark_can_be_taken_back(commits: Commits) -> None:
    commits.forget("/a", ID)
    commits.remember("/a", ID, "1-1-1")
    commits.remember("/b", ID, "2-2-2")
    commits.forget("/a", ID)
    assert commits.recall("/a", ID) is None
    assert commits.recall("/b", ID) == "2-2-2"


def test_a_mark_of_an_earlier_hour_is_found(
    commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    commits.remember("/a", ID, "1-1-1")
    monkeypatch.setattr(module.time, "time", lambda: now + HOUR)
    commits.remember("/b", ID, "2-2-2")
    assert commits.recall("/a", ID) == "1-1-1"
    assert commits.recall("/b", ID) == "2-2-2"


def test_old_marks_go_hour_by_hour_and_a_few_at_a_time(
    commits: Commits, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = float(500_000 * HOUR)
    for hour in range(3):
        monkeypatch.setattr(module.time, "time", lambda hour=hour: now + hour * HOUR)
        for number in range(10):
            commits.remember(f"/{hour}", f"{number:032x}", "1-1-1")

    def left() -> list[int]:
        hours = sorted((root / "~uploads" / "~committed").iterdir())
        return [len(list(hour.iterdir())) for hour in hours]

    commits.reap(now + MARK_AGE_SECONDS_MAX, marks_max=100)
    assert left() == [10, 10, 10]
    later = now + MARK_AGE_SECONDS_MAX + 2 * HOUR
    commits.reap(later, marks_max=4)
    assert left() == [6, 10, 10]
    commits.reap(later, marks_max=12)
    assert left() == [4, 10]
    commits.reap(later, marks_max=100)
    assert left() == [10]
    assert commits.recall("/2", f"{3:032x}") == "1-1-1"


def test_what_another_put_there_is_left_alone(commits: Commits, root: Path) -> None:
    foreign = root / "~uploads" / "~committed" / "notes"
    foreign.mkdir(parents=True)
    (foreign / "keep").touch()
    commits.reap(time.time() + 100 * MARK_AGE_SECONDS_MAX, marks_max=100)
    assert (foreign / "keep").exists()


def test_paths_have_checksums_of_their_own() -> None:
    paths = {f"/docker/registry/v2/repositories/{n}/_uploads" for n in range(500)}
    assert len({checksum(path) for path in paths}) == len(paths)
    assert all(len(checksum(path)) == 8 for path in paths)

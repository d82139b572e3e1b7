"""Noticing that an executable was replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from storagebus.workers.watch import SETTLE_S, ExecutableWatch


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_text("one")
    return path


def replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def test_nothing_has_changed(program: Path) -> None:
    watch = ExecutableWatch(str(program))
    assert not any(watch.changed(float(now)) for now in range(10))


def test_another_file_counts_once_when_it_has_settled(program: Path) -> None:
    watch = ExecutableWatch(str(program))
    replace(program, "two")
    assert not watch.changed(0.0)
    assert not watch.changed(SETTLE_S * 0.9)
    assert watch.changed(SETTLE_S)
    assert not any(watch.changed(float(now)) for now in range(2, 10))
    replace(program, "three")
    assert [watch.changed(20.0), watch.changed(20.0 + SETTLE_S)] == [False, True]


def test_a_file_of_the_same_size_and_content_counts(program: Path) -> None:
    watch = ExecutableWatch(str(program))
    replace(program, "one")
    watch.changed(0.0)
    assert watch.changed(SETTLE_S)


def test_it_waits_while_the_file_is_being_written(program: Path) -> None:
    watch = ExecutableWatch(str(program))
    for step in range(5):
        program.write_text("x" * (100 + step))
        assert not watch.changed(step * SETTLE_S)
    assert watch.changed(5 * SETTLE_S)


def test_a_file_that_is_gone_for_a_moment(program: Path) -> None:
    watch = ExecutableWatch(str(program))
    kept = program.with_suffix(".kept")
    program.rename(kept)
    assert not watch.changed(0.0)
    assert not watch.changed(5.0)
    kept.rename(program)
    assert not watch.changed(6.0)
    assert not watch.changed(7.0)


def test_a_link_to_another_version(program: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("two")
    link = tmp_path / "link"
    link.symlink_to(program)
    watch = ExecutableWatch(str(link))
    fresh = tmp_path / "fresh"
    fresh.symlink_to(other)
    fresh.rename(link)
    assert not watch.changed(0.0)
    assert watch.changed(SETTLE_S)

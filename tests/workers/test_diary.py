"""The manager's log: a start that fails is told once, in a line."""

from __future__ import annotations

import logging

import pytest

from storagebus.workers.children import ChildEnded, ChildReady, Ending, GaveUp
from storagebus.workers.diary import Diary

TRACE = ("Traceback (most recent call last):", "  ...", "ValueError: no bucket")


@pytest.fixture
def diary(caplog: pytest.LogCaptureFixture) -> Diary:
    caplog.set_level(logging.INFO)
    return Diary()


def ended(child: int, *tail: str, was_ready: bool = False) -> ChildEnded:
    ending = Ending(code=1, tail=tail)
    return ChildEnded("acme", child, ending, False, was_ready, ending.describe())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    caplog.clear()
    return found


def test_a_start_that_fails_is_a_line_without_the_trace(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    diary.note(ended(1, *TRACE))
    line = (
        "acme: process 1 exited with code 1 before it was ready: ValueError: no bucket"
    )
    assert warnings(caplog) == [line]
    diary.note(ended(2, *TRACE))
    assert warnings(caplog) == []
    diary.note(ended(3))
    assert warnings(caplog) == [
        "acme: process 3 exited with code 1 before it was ready"
    ]


def test_a_store_that_cannot_be_used_is_waited_for(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    said = "storagebus: the store cannot be used: unavailable: no bucket (request {})"
    for child in (1, 2):
        ending = Ending(code=74, tail=(said.format(child),))
        diary.note(ChildEnded("acme", child, ending, False, False, "exited"))
    line = (
        "acme: the store cannot be used: unavailable: no bucket (request 1); it is "
        "tried again"
    )
    assert warnings(caplog) == [line]


def test_it_is_told_again_once_a_start_went_well(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    for child in (1, 3):
        diary.note(ended(child, *TRACE))
        assert len(warnings(caplog)) == 1
        diary.note(ChildReady("acme", child + 1))


def test_a_crash_at_work_is_always_told_and_its_lines_are_in_the_log_already(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    for child in (1, 2):
        diary.note(ended(child, *TRACE, was_ready=True))
        assert warnings(caplog) == [f"acme: process {child} exited with code 1"]


def test_only_a_part_that_is_given_up_is_an_error(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    diary.note(GaveUp("acme", "too often", whole_pool=True))
    assert warnings(caplog) == []  # whoever runs the pool says it
    diary.note(GaveUp("acme", "too often", whole_pool=False))
    assert warnings(caplog) == ["acme: given up: too often"]

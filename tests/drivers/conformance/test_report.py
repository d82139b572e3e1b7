"""What the suite prints, and what it hands to JSON."""

from __future__ import annotations

import json
import re

import pytest

from storagebus.drivers import conformance
from storagebus.drivers.conformance import Outcome, Report, Result
from storagebus.drivers.errors import InvalidParameterError
from storagebus.drivers.inmemory import InMemoryDriver

RESULTS = (
    Result("a.one", "One holds.", Outcome.PASSED, 0.0123),
    Result("a.two", "Two holds.", Outcome.LEFT_OUT, 0.0, "needs the capability x"),
    Result("a.three", "Three holds.", Outcome.FAILED, 1.5, "expected 1, got 2"),
)
REPORT = Report("acme", "5eed", RESULTS)


def test_lines_are_the_tried_then_the_left_out_then_the_count() -> None:
    assert list(REPORT.lines()) == [
        "passed    a.one  0.012 s",
        "failed    a.three  1.500 s  expected 1, got 2  [required: Three holds.]",
        "left out  a.two: needs the capability x",
        "1 passed, 1 failed",
    ]
    assert str(REPORT) == "\n".join(REPORT.lines())


def test_a_report_is_ok_only_when_something_passed_and_nothing_failed() -> None:
    assert not REPORT.ok
    assert Report("acme", "1", RESULTS[:2]).ok
    assert not Report("acme", "1", RESULTS[1:2]).ok


def test_fields_are_plain_values() -> None:
    fields = json.loads(json.dumps(REPORT.to_fields()))
    assert (fields["driver"], fields["ok"], fields["failed"]) == ("acme", False, 1)
    assert fields["results"][2]["reason"] == "expected 1, got 2"
    assert [one["outcome"] for one in fields["results"]] == [
        "passed",
        "left out",
        "failed",
    ]


def test_progress_comes_with_each_result_in_order() -> None:
    seen: list[Result] = []
    report = conformance.in_process(
        InMemoryDriver, only=["stat", "identity.*"], progress=seen.append
    )
    assert tuple(seen) == report.results
    assert {result.name.partition(".")[0] for result in seen} == {"stat", "identity"}


def test_every_line_of_a_real_report_is_one_line() -> None:
    report = conformance.in_process(InMemoryDriver, only="content")
    lines = list(report.lines())
    assert all("\n" not in line for line in lines)
    assert lines[-1] == f"{len(report.passed)} passed, 0 failed"
    assert re.fullmatch(r"[0-9a-f]{16}", report.seed)


def test_only_must_fit_something() -> None:
    with pytest.raises(InvalidParameterError, match="no requirement fits 'contnet'"):
        conformance.in_process(InMemoryDriver, only=["content", "contnet"])

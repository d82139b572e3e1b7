"""Every benchmark still runs, with data too small to measure anything."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "benchmarks"
AIMS = [
    ("read 4 MiB, local bus", ">= 0.9"),
    ("write 4 MiB, local bus", ">= 0.85"),
    ("read 4 MiB through a memory lane / gRPC", ">= 3"),
    ("write 4 MiB through a memory lane / gRPC", ">= 2"),
    ("read 4 MiB over TCP inline / gRPC", ">= 1.2"),
    ("write 4 MiB over TCP inline / gRPC", ">= 1.2"),
    ("get_content of 1 KiB, 32 threads", ">= 2.5"),
    ("get_content of 1 KiB, async", ">= 4"),
    ("serial stat", "<= 0.8"),
    ("p99 of stat", "<= 0.5"),
    ("32 x 4 KiB put and get", ">= 0.4"),
    ("memory growth (PSS)", "<= 128"),
    ("broker's memory growth, 8 stalled readers", "<= 64"),
    ("broker's memory growth, 8 idle clients", "<= 200"),
    ("streams at once", ">= 0.7"),
    ("CPU seconds", "<= 2"),
]
"""How each line with an aim begins."""


def run(*words: str) -> str:
    """What the program prints."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / "run.py"), *words],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("--smoke", "--json"))
    return found


@pytest.mark.slow
def test_every_row_runs(report: dict[str, Any]) -> None:
    for row in report["rows"]:
        assert row["value"] is not None, row
        assert math.isfinite(row["value"]), row
        assert row["unit"] or row["value"] > 0, row


@pytest.mark.slow
@pytest.mark.parametrize(("start", "aim"), AIMS)
def test_every_aim_has_its_line(report: dict[str, Any], start: str, aim: str) -> None:
    (row,) = [r for r in report["rows"] if r["what"].startswith(start) and r["aim"]]
    assert row["aim"] == aim
    assert row["met"] in (True, False)


@pytest.mark.slow
def test_some_rows_as_a_table() -> None:
    head, rule, row, _, machine = run(
        "--smoke", "--markdown", "--rows", "cpu"
    ).splitlines()
    assert head == "| what | measured | ratio or growth | aim |"
    assert set(rule) == set("| -")
    assert row.startswith("| CPU seconds per GiB read")
    assert row.endswith(" | ≤ 2 |")
    assert "libzmq" in machine


@pytest.mark.slow
def test_without_an_option_it_prints_lines() -> None:
    text = run("--smoke", "--rounds", "2", "--rows", "serial")
    assert "serial stat, median time, bus / gRPC" in text
    assert " µs " in text

"""The benchmarks of the cloud drivers still run, with data too small to measure."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).parent / "benchmarks" / "clouds.py"
AIMS = {
    ", 12 MiB up, driver / ": ">= 1",
    ", 12 MiB down, driver / ": ">= 1",
    ", 12 MiB up, bus / driver": ">= 0.95",
    ", 12 MiB down, bus / driver": ">= 0.95",
    ", 32 x 4 KiB, 16 at once, put, bus / ": ">= 0.9",
    ", 32 x 4 KiB, 16 at once, get, bus / ": ">= 0.9",
    ", 32 x 1 MiB up at once, by default: peak": "<= 400",
    ", 32 x 1 MiB up at once, with a budget of 32 MiB: peak": "<= 128",
    ", 20 ms away, 12 MiB up, driver / serial parts": ">= 1",
    ", 20 ms away, 12 MiB down, driver / serial parts": ">= 1",
}
"""How a line with an aim begins, behind the driver's name."""


@pytest.mark.slow
@pytest.mark.stores
@pytest.mark.timeout(300)
@pytest.mark.parametrize("driver", ["s3", "azure"])
def test_every_aim_has_its_line(driver: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(COMMAND), "--smoke", "--json", "--only", driver],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(ran.stdout)["rows"]
    for row in rows:
        assert row["value"] is not None and math.isfinite(row["value"]), row
    aims = {row["what"]: row["aim"] for row in rows if row["aim"]}
    for start, aim in AIMS.items():
        assert aim in {a for what, a in aims.items() if what.startswith(driver + start)}

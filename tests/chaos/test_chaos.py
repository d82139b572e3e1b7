"""Real brokers, workers and clients, struck all the while.

The short run is for every change; `make chaos` is the long one with all its figures.
"""

from __future__ import annotations

import pytest

from .resume import Resume
from .runner import Run
from .scene import Settings

LONG_TRANSFERS = 5_000
LONG_S_MAX = 3_000.0
RESUME_MS_MAX = 250


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_lost_wrong_or_hanging() -> None:
    report = Run(Settings(seed=1, seconds=20.0)).report()
    print(report.line(), report.skipped)
    assert report.problems == []
    assert report.kills > 0
    assert report.transfers > 20


@pytest.mark.stores
@pytest.mark.timeout(300)
def test_an_object_store_that_stalls_and_fails() -> None:
    report = Run(Settings(seed=2, seconds=30.0, has_store=True)).report()
    print(report.line(), report.skipped)
    assert report.problems == []
    assert not [words for words in report.skipped if "store" in words]
    assert report.struck["store:stall"] + report.struck["store:errors"] > 0


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", [1, 2])
def test_as_long_as_it_takes(seed: int) -> None:
    settings = Settings(
        seed=seed, seconds=LONG_S_MAX, transfers=LONG_TRANSFERS, workers=8, faulty=2
    )
    report = Run(settings).report()
    print(report.line(), report.skipped)
    assert report.problems == []
    assert report.transfers >= LONG_TRANSFERS


@pytest.mark.long
def test_a_broken_stream_goes_on_at_once() -> None:
    for who, median_ms in Resume(1).medians_ms(15).items():
        assert median_ms < RESUME_MS_MAX, who

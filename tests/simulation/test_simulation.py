"""Broker, worker and client together in simulated worlds: thousands of seeds, and that
a seed is all there is to a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from simulation import faults
from simulation.command import main, outcomes
from simulation.options import Options, parse_option
from simulation.trial import report, run

RUN = Path(__file__).with_name("run.py")
SEEDS = int(os.environ.get("STORAGEBUS_SIMULATED_SEEDS", "1000"))
JOBS = 2


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_no_seed_violates_an_invariant() -> None:
    """More with `make simulate SEEDS=10000`; a failure says how to see it again."""
    failures = []
    tally: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes(range(SEEDS), JOBS):
        tally.update(outcome.tally)
        if outcome.failure:
            failures.append(report(Options.drawn(outcome.seed), outcome))
    assert not failures, f"{len(failures)} seeds fail; one is\n{failures[0]}"
    # The worlds are such that much goes wrong, and most goes well.
    well = sum(count for (_, error), count in tally.items() if not error)
    assert 0.5 < well / tally.total() < 0.99
    kinds = {"put", "commit", "move", "delete", "read", "poison"}
    assert {kind for kind, _ in tally} == kinds


def test_a_run_depends_on_its_seed_alone() -> None:
    """Not on the order of sets, the process, the clock, or what ran before."""
    found = set()
    for hash_seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, RUN, "--seed", "4", "--whole"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(ran.stdout)
    assert len(found) == 1
    run(Options.drawn(5))
    digest = run(Options.drawn(4), digest=True).digest
    assert f"digest {digest:08x}" in found.pop()


@pytest.mark.parametrize("seed", range(10, 16))
def test_the_same_seed_is_the_same_run(seed: int) -> None:
    options = Options.drawn(seed)
    first, second = (run(options, digest=True) for _ in range(2))
    assert (first.digest, first.steps) == (second.digest, second.steps)
    assert first.digest != run(Options.drawn(seed + 100), digest=True).digest


def test_every_kind_of_fault_is_drawn() -> None:
    drawn = [Options.drawn(seed) for seed in range(200)]
    for rate in faults._RATES.values():
        some = [options for options in drawn if rate(options)]
        assert 10 < len(some) < 190


def test_a_failure_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.ledger.Ledger.end", _complain)
    options = Options.drawn(3, workers=9, framed=True)
    outcome = run(options)
    said = report(options, outcome)
    assert "a complaint" in said
    assert "python tests/simulation/run.py --seed 3 --set " in said
    assert "--set workers=9" in said
    assert any(" OPEN " in line for line in outcome.transcript)
    changed = dict(parse_option(text) for text in options.command().split("--set ")[1:])
    assert Options.drawn(3, **changed) == options


def _complain(*_: object) -> None:
    raise AssertionError("a complaint")


def test_many_seeds_are_summed_up_in_a_line_of_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", "3", "--first", "7", "--jobs", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["seeds"], said["first"], said["failed"]) == (3, 7, [])
    assert said["seeds_per_s"] > 0


def test_an_option_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--set", "wings=2"])

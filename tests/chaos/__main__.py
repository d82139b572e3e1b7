"""`python -m chaos`: shake a bus of real processes, and say what came of it.

export PYTHONPATH=tests:tests/support
python -m chaos                     20 seconds
python -m chaos --transfers 5000    as long as it takes
python -m chaos --seed 7 --json     for machines
python -m chaos --upgrades 10       rolling upgrades, to and fro

`make chaos` is the long one. Which process does what when is not in the seed's power:
a seed repeats the load and the strikes, not what they meet.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .resume import Resume
from .runner import Run
from .scene import Settings
from .schedule import CALM, KILL_EVERY_S
from .upgrade import Upgrade

SECONDS_MAX = 3_600.0


def _upgrade(given: argparse.Namespace) -> int:
    outcome = Upgrade(given.seed, _say).run(given.upgrades)
    print(json.dumps(outcome.to_json(), indent=1) if given.json else outcome.line())
    for problem in outcome.problems:
        _say(f"  {problem}")
    return 1 if outcome.problems else 0


def _beats(factor: float, given: Sequence[str]) -> dict[str, float]:
    """Mean seconds between strikes, by kind."""
    beats = {
        kind: mean * factor if kind.startswith("kill") else mean
        for kind, mean in CALM.items()
    }
    for word in given:
        kind, _, seconds = word.partition("=")
        if kind not in CALM:
            raise SystemExit(f"no strike {kind!r}; known: {', '.join(CALM)}")
        beats[kind] = float(seconds)
    return {kind: mean for kind, mean in beats.items() if mean > 0}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run as the options say; 0 when all is well, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="[default: 20, or enough]")
    parser.add_argument("--transfers", type=int, help="stop after so many")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--brokers", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--deadline", type=float, default=30.0, help="of each call, s")
    parser.add_argument(
        *("--every", "-e"),
        action="append",
        default=[],
        metavar="KIND=SECONDS",
        help=f"mean time between strikes of a kind: {', '.join(CALM)}; 0 for none",
    )
    parser.add_argument("--kill-every", type=float, default=KILL_EVERY_S, help="s")
    parser.add_argument(
        "--resumes", type=int, default=0, help="streams broken to take the time"
    )
    parser.add_argument(
        "--upgrades", type=int, metavar="N", help="instead: N rolling upgrades"
    )
    parser.add_argument(
        "--store", action="store_true", help="an object store too, which is installed"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ledgers", type=Path, help="keep the ledgers in this folder")
    given = parser.parse_args()
    if given.upgrades:
        return _upgrade(given)
    factor = given.kill_every / KILL_EVERY_S
    settings = Settings(
        seed=given.seed,
        seconds=given.seconds or (SECONDS_MAX if given.transfers else 20.0),
        transfers=given.transfers,
        workers=given.workers,
        brokers=given.brokers,
        clients=given.clients,
        deadline_s=given.deadline,
        has_store=given.store,
        every_s=_beats(factor, given.every),
    )
    run = Run(
        settings,
        _say,
        keep_ledgers=given.ledgers,
    )
    report = run.report()
    if given.resumes:
        report.resume_ms = Resume(given.seed).medians_ms(given.resumes)
    if given.json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        print(report.line())
        for problem in report.problems:
            _say(f"  {problem}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())

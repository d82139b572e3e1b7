"""The command line: one seed, to look at, or as many as wanted, on all processors."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

from tqdm import tqdm

from .options import Options, parse_option
from .trial import Outcome, report, run

SEEDS = 1_000
FAILURES_SHOWN_MAX = 20
SEEDS_A_TURN = 10


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments say; 1 when an invariant was violated."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed, with its transcript")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--whole", action="store_true", help="the whole transcript")
    parser.add_argument("--json", action="store_true", help="a line of JSON at the end")
    given = parser.parse_args(arguments)
    try:
        options = dict(parse_option(text) for text in given.set)
    except ValueError as error:
        parser.error(str(error))
    if given.seed is not None:
        return _one(Options.drawn(given.seed, **options), whole=given.whole)
    return _many(given, options)


def _one(options: Options, *, whole: bool) -> int:
    outcome = run(options, digest=True, whole=whole)
    if outcome.failure:
        print(report(options, outcome))
    else:
        print(options, *outcome.transcript, sep="\n")
        print(
            f"seed {options.seed}: no violation in {outcome.steps} steps, "
            f"digest {outcome.digest:08x}"
        )
    return int(bool(outcome.failure))


def _many(given: argparse.Namespace, options: dict[str, object]) -> int:
    began = time.monotonic()
    seeds = range(given.first, given.first + given.seeds)
    failed: list[int] = []
    steps, cpu_s = 0, 0.0
    tally: Counter[tuple[str, str]] = Counter()
    for outcome in tqdm(
        outcomes(seeds, given.jobs, options),
        total=len(seeds),
        unit=" seeds",
        disable=None,  # none where no terminal is
    ):
        steps += outcome.steps
        cpu_s += outcome.cpu_s
        tally.update(outcome.tally)
        if outcome.failure:
            failed.append(outcome.seed)
            if len(failed) <= FAILURES_SHOWN_MAX:
                tqdm.write(report(Options.drawn(outcome.seed, **options), outcome))
    elapsed_s = time.monotonic() - began
    ended = sum(tally.values())
    well = sum(count for (_, error), count in tally.items() if not error)
    summary = {
        "seeds": len(seeds),
        "first": given.first,
        "failed": failed,
        "steps": steps,
        "operations": ended,
        "succeeded": well,
        "cpu_s": round(cpu_s, 1),
        "elapsed_s": round(elapsed_s, 1),
        "seeds_per_s": round(len(seeds) / max(elapsed_s, 0.001), 1),
    }
    if given.json:
        print(json.dumps(summary))
    else:
        print(
            f"{len(failed)} of {len(seeds)} seeds violate an invariant; "
            f"{ended} reads and writes, {well} of them with success; "
            f"{steps} steps in {elapsed_s:.1f} s, "
            f"{summary['seeds_per_s']} seeds a second"
        )
    sys.stdout.flush()
    return int(bool(failed))


def outcomes(
    seeds: range, jobs: int, options: dict[str, object] | None = None
) -> Iterator[Outcome]:
    """Run many seeds, in as many processes as wanted; in the order of their ends."""
    work = partial(_seed, options or {})
    if jobs <= 1:
        yield from map(work, seeds)
        return
    # Started anew, not forked: no thread of this process can be caught in a lock.
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs) as pool:
        yield from pool.imap_unordered(work, seeds, SEEDS_A_TURN)


def _seed(options: dict[str, object], seed: int) -> Outcome:
    return run(Options.drawn(seed, **options))

"""One seed, from its options to its outcome."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from . import scale, virtualtime
from .options import Options
from .violation import Violation
from .world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went.

    Attributes:
        seed: its seed.
        failure: what was violated, and where; "" when nothing was.
        transcript: the last steps of a failure.
        steps: events that happened.
        digest: of all events, where it was asked for.
        cpu_s: seconds of the processor that it took.
        tally: how operations have ended.
    """

    seed: int
    failure: str
    transcript: tuple[str, ...]
    steps: int
    digest: int
    cpu_s: float
    tally: Mapping[tuple[str, str], int]


def run(options: Options, *, digest: bool = False, whole: bool = False) -> Outcome:
    """Run a world to its end.

    Args:
        options: of the run.
        digest: whether to sum up every event.
        whole: whether to keep the whole transcript, of a good run too.
    """
    scale.shrink()
    virtualtime.install()
    began = time.process_time()
    failure = ""
    world = None
    try:
        world = World(options)
        if digest:
            world.transcript.digest = 0
        if whole:
            world.transcript.keep_all()
        world.run()
    except (Exception, Violation) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        failure = f"{type(error).__name__}: {error}  ({where.name}:{where.lineno})"
        if not isinstance(error, (AssertionError, Violation)):
            failure += "\n" + traceback.format_exc()
    finally:
        if world is not None:
            world.close()
        virtualtime.remove()
        scale.restore()
    shown = world is not None and bool(failure or whole)
    return Outcome(
        seed=options.seed,
        failure=failure,
        transcript=tuple(world.transcript.lines()) if shown and world else (),
        steps=world.loop.steps if world is not None else 0,
        digest=(world.transcript.digest if world is not None else 0) or 0,
        cpu_s=time.process_time() - began,
        tally=dict(world.tally) if world is not None else {},
    )


def report(options: Options, outcome: Outcome) -> str:
    """A failure in words: what, in which world, the last steps, and how to see it
    again."""
    return "\n".join(
        (
            f"seed {options.seed}: {outcome.failure}",
            f"{options}",
            *outcome.transcript,
            f"seed {options.seed}: {outcome.failure}",
            f"again with: {options.command()}",
        )
    )

"""Workers that fail at what their siblings do. Pure.

A worker whose driver has lost its backend, or its mind, answers at once with errors,
and so looks less loaded than the others: it would draw all calls to itself. So each
worker's answers are counted, with less weight the older they are, and one that fails
far more often than its siblings gets no new work for a while (as gRPC's proposal A50
has it). When all fail alike it is the backend, and nobody is ejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

REVIEW_S = 1.0
"""How often the counts are looked at."""
DECAY = 0.8
"""What an answer counts after each look."""
ANSWERS_MIN = 5.0
"""With fewer answers nothing is said of a worker."""
SIBLINGS_ANSWERS_MIN = 1.0
FAILED_SHARE_MIN = 0.5
"""Share of failures from which a worker may be ejected."""
SIBLINGS_FACTOR = 0.5
"""The others' share must be below this part of its own."""
EJECTED_SHARE_MAX = 0.5
"""Of a service's workers not more than this may be ejected at a time."""
EJECTED_S = 10.0
EJECTED_S_MAX = 300.0
"""An ejection lasts `EJECTED_S` the first time, longer each time after."""


@dataclass(slots=True, eq=False)
class Score:
    """A worker's answers.

    Attributes:
        good: answers that do not speak against it, the older the less.
        bad: answers that do.
        until: when its ejection is over; None while it is not ejected.
        times: how often it was ejected.
    """

    good: float = 0.0
    bad: float = 0.0
    until: float | None = None
    times: int = 0

    @property
    def answers(self) -> float:
        """All of them."""
        return self.good + self.bad

    @property
    def failed_share(self) -> float:
        """The part that failed."""
        return self.bad / self.answers if self.answers else 0.0

    def note(self, *, failed: bool) -> None:
        """It has answered."""
        if failed:
            self.bad += 1.0
        else:
            self.good += 1.0


def review(scores: Sequence[Score], now: float) -> list[Score]:
    """Look at the workers of one service; returns who is ejected from now on.

    Args:
        scores: of all its workers.
        now: the time, in seconds.
    """
    for score in scores:
        if score.until is not None and now >= score.until:
            score.until = None
            score.good = score.bad = 0.0
    room = int(len(scores) * EJECTED_SHARE_MAX) - sum(
        score.until is not None for score in scores
    )
    ejected: list[Score] = []
    here = [score for score in scores if score.until is None]
    for score in sorted(here, key=lambda score: -score.failed_share):
        if len(ejected) >= room or not _is_outlier(score, scores):
            break
        score.times += 1
        score.until = now + min(EJECTED_S_MAX, EJECTED_S * score.times)
        ejected.append(score)
    for score in scores:
        score.good *= DECAY
        score.bad *= DECAY
    return ejected


def _is_outlier(score: Score, scores: Sequence[Score]) -> bool:
    if score.answers < ANSWERS_MIN:
        return False
    others = [other for other in scores if other is not score and other.until is None]
    answers = sum(other.answers for other in others)
    if score.failed_share < FAILED_SHARE_MIN or answers < SIBLINGS_ANSWERS_MIN:
        return False
    failed = sum(other.bad for other in others) / answers
    return failed < score.failed_share * SIBLINGS_FACTOR

"""Which of the driver's operations are quick enough for the loop to run itself. Pure.

Handing a job to a thread and its outcome back costs two wake-ups, several times the
work of a `stat` on a local disk. So the loop runs a job itself as long as jobs of this
operation have been quick. One that was not costs the operation a pause, during which
its jobs go to threads; the pause doubles while every new attempt fails, so that a slow
store is tried once a minute.
"""

from __future__ import annotations

QUICK_US = 300.0
"""Mean time of a job that the loop runs itself; a hand-over costs about half of it."""
SAMPLE_US_MAX = 2_000.0
"""More than this no single job counts: the system may have had other things to do."""
WEIGHT = 1 / 16
"""Part of the last job in the mean."""
PAUSE_S_MIN = 0.05
PAUSE_S_MAX = 60.0


class _Record:
    """What is known of one operation.

    Attributes:
        mean_us: of its jobs that the loop ran, the last ones counting most.
        resumes: when the loop may run it again.
        pause_s: the pause after the next failure.
    """

    __slots__ = ("mean_us", "pause_s", "resumes")

    def __init__(self) -> None:
        self.mean_us = 0.0
        self.resumes = 0.0
        self.pause_s = PAUSE_S_MIN


class Pace:
    """The record of each operation, by its code on the wire.

    Only jobs that the loop has run count: on a thread a quick job looks slow when
    many threads are busy.
    """

    def __init__(self) -> None:
        self._records: dict[int, _Record] = {}

    def is_quick(self, operation: int, now: float) -> bool:
        """Whether the loop may run a job of this operation itself."""
        record = self._records.get(operation)
        return record is None or now >= record.resumes

    def pause_s(self, operation: int, now: float) -> float:
        """Seconds until the loop tries this operation again."""
        record = self._records.get(operation)
        return 0.0 if record is None else max(0.0, record.resumes - now)

    def took(self, operation: int, spent_us: float, now: float) -> None:
        """The loop has run a job of an operation in so many microseconds."""
        record = self._records.get(operation)
        if record is None:
            record = self._records[operation] = _Record()
        sample = min(spent_us, SAMPLE_US_MAX)
        record.mean_us += (sample - record.mean_us) * WEIGHT
        if record.mean_us > QUICK_US:
            self._pause(record, now)
        elif record.pause_s > PAUSE_S_MIN and spent_us < QUICK_US:
            record.pause_s *= 1 - WEIGHT

    def stalled(self, operation: int, now: float) -> None:
        """A job of an operation has held the loop up."""
        self._pause(self._records.setdefault(operation, _Record()), now)

    def _pause(self, record: _Record, now: float) -> None:
        record.resumes = now + record.pause_s
        record.pause_s = min(PAUSE_S_MAX, 2 * record.pause_s)
        # So that one more job as slow as these is enough for the next pause.
        record.mean_us = QUICK_US

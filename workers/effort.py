"""What a job has cost its thread: waiting for something, or just for a processor.

Only the first says anything about the driver. On a busy machine every job of some
microseconds is now and then held up for milliseconds by others, and one that is taken
for slow then loses the loop's favour.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import NamedTuple

_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)
_RUNNABLE = "R"


class Effort(NamedTuple):
    """What the calling thread has used so far.

    Attributes:
        cpu_us: microseconds of processor time.
        waits: how often it gave the processor away to wait for something; None where
            the system does not say.
    """

    cpu_us: float
    waits: int | None


def effort() -> Effort:
    """That of the calling thread, up to now."""
    if _THREAD is None:
        return Effort(0.0, None)
    used = resource.getrusage(_THREAD)
    return Effort((used.ru_utime + used.ru_stime) * 1_000_000, used.ru_nvcsw)


def spent_us(before: Effort, after: Effort, wall_us: float) -> float:
    """What a job has taken, without the time in which its thread could have run but
    others did.

    Args:
        before, after: the job.
        wall_us: what it took on the clock.
    """
    if after.waits is None or after.waits != before.waits:
        return wall_us
    return min(wall_us, after.cpu_us - before.cpu_us)


def could_run(thread: int) -> bool:
    """Whether a thread of this process waits for nothing but a processor.

    Args:
        thread: its native id.
    """
    try:
        status = Path(f"/proc/self/task/{thread}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == _RUNNABLE

"""Which processes run but do not work."""

from __future__ import annotations

import pytest

from storagebus.workers.health import (
    GRACE_S,
    LATE_S,
    LOST_S_MAX,
    SILENT_S_MAX,
    STUCK_GRACE_S,
    STUCK_S_MAX,
    Condition,
    Fault,
    Health,
)


class Ward:
    """Looks every second at one process whose fault began at 0."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.health: Health[str] = Health()
        self.health.faults({}, -1.0)

    def look(self, now: float) -> dict[str, Fault]:
        return self.health.faults({"a": Condition(**{self.kind: now})}, now)

    def until(self, now: float) -> dict[float, Fault]:
        found = {float(t): self.look(float(t)) for t in range(int(now))}
        return {moment: faults["a"] for moment, faults in found.items() if faults}


@pytest.mark.parametrize(
    ("kind", "most", "grace_s", "said"),
    [
        ("stuck_s", STUCK_S_MAX, STUCK_GRACE_S, "held on to a call 11 s"),
        ("silent_s", SILENT_S_MAX, GRACE_S, "answered no ping for 11 s"),
        ("lost_s", LOST_S_MAX, GRACE_S, "no connection for 11 s"),
    ],
)
def test_each_fault_is_found_once(
    kind: str, most: float, grace_s: float, said: str
) -> None:
    found = Ward(kind).until(60)
    assert list(found) == [most + 1]
    (fault,) = found.values()
    assert said in fault.what
    assert fault.grace_s == grace_s


def test_a_sound_process_is_left_alone() -> None:
    health: Health[int] = Health()
    for now in range(100):
        sound = Condition(stuck_s=now % 10, silent_s=now % 10, lost_s=now % 10)
        assert health.faults({1: sound}, float(now)) == {}


def test_time_in_which_nobody_looked_is_nobodys_fault() -> None:
    ward = Ward("silent_s")
    assert ward.until(5) == {}
    later = 5 + 1_000.0  # this process was stopped
    assert ward.look(later) == {}
    for second in range(1, int(SILENT_S_MAX) + 1):
        assert ward.look(later + second) == {}
    assert ward.look(later + SILENT_S_MAX + 1) != {}


def test_looks_that_are_a_little_late_count() -> None:
    ward = Ward("silent_s")
    moments = [LATE_S * 0.9 * n for n in range(10)]
    assert any(ward.look(moment) for moment in moments)


def test_a_process_that_is_gone_is_forgotten() -> None:
    ward = Ward("silent_s")
    assert len(ward.until(20)) == 1
    ward.health.faults({}, 20.0)
    assert ward.look(21.0) != {}  # another one of that name

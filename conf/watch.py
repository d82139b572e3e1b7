"""Which processes under supervisord run but do not work. Pure: (view, now) -> actions.

supervisord knows whether a process runs, the broker whether it works. A process that
does neither is replaced; what is only slow is left alone. Nobody is judged by a broker
that does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .health import Action, Process, Replace, Report, Revive, Worker

STOPPED_S = 4.0
"""How long a process may be stopped by a signal, as somebody who debugs it does."""
ABSENT_S = 10.0
"""How long a worker that was at the broker may be away from it."""
JOIN_S = 15.0
"""How long a worker may take to come to the broker; doubled each time that it does not,
so that a machine that starts slowly is not kept from starting at all."""
JOIN_S_MAX = 300.0
SILENT_S = 12.0
"""How long a worker with a connection may leave the broker's pings unanswered."""
SILENT_BEATS = 5
"""The same in heartbeats, where those are long."""
STUCK_S = 12.0
"""How long a worker may hold on to a call that nobody waits for any more."""
BROKER_SILENT_S = 20.0
"""How long a broker may leave questions unanswered, and at least how many."""
BROKER_SILENT_ASKS = 6
BROKER_START_S = 60.0
"""The same for a broker that has not answered yet."""
REVIVE_S = 60.0
"""How often a process is started again that supervisord has given up."""


@dataclass(slots=True)
class _Record:
    """What is remembered of one process, as long as it has the same pid.

    Attributes:
        pid: its pid.
        since: when it was first seen.
        joined: whether the broker has had it; of the broker, whether it has answered.
        absent: since when the broker has it no more.
        stopped: since when it is stopped.
        replaced: when it was last to be replaced; a killed process may linger.
    """

    pid: int
    since: float
    joined: bool = False
    absent: float | None = None
    stopped: float | None = None
    replaced: float | None = None


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What is wrong with a worker, and whether it does other work all the same."""

    why: str
    serves: bool = False


@dataclass(slots=True)
class _Silence:
    """Questions in a row that the broker has not answered."""

    since: float
    asks: int = 0


@dataclass(slots=True)
class Watch:
    """The machine; `look` at every turn.

    Args:
        silent_s: seconds for which a connected worker may be silent.
    """

    silent_s: float = SILENT_S
    _records: dict[str, _Record] = field(default_factory=dict)
    _join_s: dict[str, float] = field(default_factory=dict)
    _returning: dict[str, float] = field(default_factory=dict)
    _given_up: dict[str, float] = field(default_factory=dict)
    _silence: _Silence | None = None

    def look(
        self, processes: Sequence[Process], report: Report | None, now: float
    ) -> list[Action]:
        """Compare the two views.

        Args:
            processes: all of ours that supervisord has.
            report: what the broker said; None when it did not answer.
            now: the time, on a clock that never goes back.

        Returns:
            What is to be done now.
        """
        self._remember(processes, report, now)
        actions: list[Action] = []
        pools: dict[str, list[Process]] = {}
        for process in processes:
            if process.service:
                pools.setdefault(process.service, []).append(process)
            elif process.is_up:
                actions += self._judge_broker(process, report, now)
            if process.is_given_up:
                actions += self._revive(process, now)
        for members in pools.values():
            actions += self._judge_pool(members, report, now)
        return actions

    def _remember(
        self, processes: Sequence[Process], report: Report | None, now: float
    ) -> None:
        names = {process.name for process in processes}
        for memory in (self._records, self._join_s, self._returning, self._given_up):
            for name in memory.keys() - names:
                del memory[name]
        for process in processes:
            name = process.name
            if not process.is_up:
                self._records.pop(name, None)
                continue
            self._given_up.pop(name, None)
            record = self._records.get(name)
            if record is None or record.pid != process.pid:
                record = self._records[name] = _Record(process.pid, now)
            if not process.is_stopped:
                record.stopped = None
            elif record.stopped is None:
                record.stopped = now
            if process.service:
                self._note_presence(record, process, report, now)

    def _note_presence(
        self, record: _Record, process: Process, report: Report | None, now: float
    ) -> None:
        if _find(process, report) is not None:
            record.joined = True
            record.absent = None
            if record.replaced is None:
                self._join_s.pop(process.name, None)
                self._returning.pop(process.name, None)
        elif report is None or not report.tells_of(process.service):
            record.absent = None
        elif record.absent is None:
            record.absent = now

    def _judge_broker(
        self, broker: Process, report: Report | None, now: float
    ) -> list[Action]:
        record = self._records[broker.name]
        why = _stopped(record, now)
        if report is not None:
            record.joined = True
            self._silence = None
        else:
            if self._silence is None or self._silence.since < record.since:
                self._silence = _Silence(now)
            self._silence.asks += 1
            silent_s = now - self._silence.since
            most_s = BROKER_SILENT_S if record.joined else BROKER_START_S
            if silent_s >= most_s and self._silence.asks >= BROKER_SILENT_ASKS:
                why = why or f"has not answered for {silent_s:.0f} s"
        return (
            [self._replace(broker, why, now)] if self._is_due(broker, why, now) else []
        )

    def _judge_pool(
        self, members: Sequence[Process], report: Report | None, now: float
    ) -> list[Action]:
        """One at a time, so that the others can serve; all, when nobody does."""
        running = [process for process in members if process.is_up]
        troubles = [self._trouble(process, report, now) for process in running]
        nobody_serves = all(trouble and not trouble.serves for trouble in troubles)
        due = [
            (process, trouble.why)
            for process, trouble in zip(running, troubles, strict=True)
            if trouble and self._is_due(process, trouble.why, now)
        ]
        if not nobody_serves:
            if any(now < self._returning.get(each.name, now) for each in members):
                return []
            del due[1:]
        return [self._replace(process, why, now) for process, why in due]

    def _is_due(self, process: Process, why: str, now: float) -> bool:
        """Whether there is a reason, and it was not acted upon a moment ago."""
        killed = self._records[process.name].replaced
        return bool(why) and (killed is None or now - killed >= JOIN_S)

    def _replace(self, process: Process, why: str, now: float) -> Replace:
        name, record = process.name, self._records[process.name]
        join_s = self._join_s.get(name, JOIN_S)
        if not record.joined and record.replaced is None:
            join_s = min(2 * join_s, JOIN_S_MAX)
        record.replaced = now
        self._join_s[name] = join_s
        self._returning[name] = now + join_s
        return Replace(process, why)

    def _trouble(
        self, process: Process, report: Report | None, now: float
    ) -> _Trouble | None:
        """Why a worker's process is to be replaced; None when it is not."""
        record = self._records[process.name]
        why = _stopped(record, now)
        if why:
            return _Trouble(why)
        if report is None:
            return None
        worker = _find(process, report)
        if worker is None:
            why = self._absence(process.name, record, now)
            return _Trouble(why) if why else None
        if worker.is_draining:
            return None
        if worker.silent_s >= self.silent_s:
            return _Trouble(f"has not answered the broker for {worker.silent_s:.0f} s")
        if worker.stuck_s >= STUCK_S:
            why = f"has not let go of a call for {worker.stuck_s:.0f} s"
            return _Trouble(why, serves=True)
        return None

    def _absence(self, name: str, record: _Record, now: float) -> str:
        if record.absent is None:
            return ""
        absent_s = now - record.absent
        if record.joined:
            left = absent_s >= ABSENT_S
            return f"has left the broker for {absent_s:.0f} s" if left else ""
        if absent_s < self._join_s.get(name, JOIN_S):
            return ""
        return f"has not come to the broker for {absent_s:.0f} s"

    def _revive(self, process: Process, now: float) -> list[Action]:
        due = self._given_up.setdefault(process.name, now + REVIVE_S)
        if now < due:
            return []
        self._given_up[process.name] = now + REVIVE_S
        return [Revive(process)]


def _stopped(record: _Record, now: float) -> str:
    if record.stopped is None or now - record.stopped < STOPPED_S:
        return ""
    return f"was stopped by a signal {now - record.stopped:.0f} s ago"


def _find(process: Process, report: Report | None) -> Worker | None:
    if report is None:
        return None
    for worker in report.workers.get(process.service, ()):
        if worker.pid == process.pid:
            return worker
    return None

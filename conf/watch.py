"""Which processes under supervisord run but do not work. Pure: (view, now) -> actions.

supervisord knows whether a process runs, the broker whether it works. A process that
does neither is replaced (`workers.health` is the judge); what is only slow is left
alone. Nobody is judged by a broker that does not answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from ..workers.health import GRACE_S, SILENT_S_MAX, Condition, Fault, judge
from .health import Action, Process, Replace, Report, Revive, Worker

JOIN_S = 15.0
"""How long a worker may take to come to the broker; doubled each time that it does not,
so that a machine that starts slowly is not kept from starting at all."""
JOIN_S_MAX = 300.0
SILENT_BEATS = 5
"""Heartbeats that a worker may leave unanswered, where that is longer than the judge's
own time."""
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


@dataclass(slots=True)
class _Silence:
    """Questions in a row that a broker has not answered."""

    since: float
    asks: int = 0


@dataclass(slots=True)
class Watch:
    """The machine; `look` at every turn.

    Args:
        silent_s: seconds for which a connected worker may be silent.
    """

    silent_s: float = SILENT_S_MAX
    _records: dict[str, _Record] = field(default_factory=dict)
    _join_s: dict[str, float] = field(default_factory=dict)
    _returning: dict[str, float] = field(default_factory=dict)
    _given_up: dict[str, float] = field(default_factory=dict)
    _silences: dict[str, _Silence] = field(default_factory=dict)

    def look(
        self,
        processes: Sequence[Process],
        report: Report | None,
        now: float,
        deaf: Collection[str] = (),
    ) -> list[Action]:
        """Compare the two views.

        Args:
            processes: all of ours that supervisord has.
            report: what the brokers said; None when none of them has answered.
            deaf: names of the brokers that have not answered, where others have.
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
                answers = report is not None and process.name not in deaf
                actions += self._judge_broker(process, answers, now)
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

    def _judge_broker(self, broker: Process, answers: bool, now: float) -> list[Action]:
        record = self._records[broker.name]
        fault = judge(Condition(stopped_s=_stopped_s(record, now)))
        why = fault.what if fault is not None else ""
        if answers:
            record.joined = True
            self._silences.pop(broker.name, None)
        else:
            silence = self._silences.get(broker.name)
            if silence is None or silence.since < record.since:
                silence = self._silences[broker.name] = _Silence(now)
            silence.asks += 1
            silent_s = now - silence.since
            most_s = BROKER_SILENT_S if record.joined else BROKER_START_S
            if silent_s >= most_s and silence.asks >= BROKER_SILENT_ASKS:
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
            (process, trouble.what)
            for process, trouble in zip(running, troubles, strict=True)
            if trouble and self._is_due(process, trouble.what, now)
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
    ) -> Fault | None:
        """Why a worker's process is to be replaced; None when it is not."""
        record = self._records[process.name]
        stopped = Condition(stopped_s=_stopped_s(record, now))
        worker = _find(process, report)
        if report is None or (worker is not None and worker.is_draining):
            return judge(stopped)
        if worker is not None:
            seen = replace(stopped, stuck_s=worker.stuck_s, silent_s=worker.silent_s)
            return judge(seen, self.silent_s)
        absent_s = 0.0 if record.absent is None else now - record.absent
        if record.joined:
            return judge(replace(stopped, lost_s=absent_s))
        if absent_s >= self._join_s.get(process.name, JOIN_S):
            return Fault(f"has not come to the broker for {absent_s:.0f} s", GRACE_S)
        return judge(stopped)

    def _revive(self, process: Process, now: float) -> list[Action]:
        due = self._given_up.setdefault(process.name, now + REVIVE_S)
        if now < due:
            return []
        self._given_up[process.name] = now + REVIVE_S
        return [Revive(process)]


def _stopped_s(record: _Record, now: float) -> float:
    return 0.0 if record.stopped is None else now - record.stopped


def _find(process: Process, report: Report | None) -> Worker | None:
    if report is None:
        return None
    for worker in report.workers.get(process.service, ()):
        if worker.pid == process.pid:
            return worker
    return None

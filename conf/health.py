"""What the watch over a supervised bus sees, and what it can do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Process:
    """A process, as supervisord and the system see it.

    Attributes:
        name: supervisord's, "group:process".
        service: what it works for; "" for the broker.
        pid: 0 when there is none.
        is_up: whether it runs and nobody has asked it to end.
        is_given_up: whether supervisord starts it no more (FATAL).
        is_stopped: whether a signal has stopped it (SIGSTOP).
    """

    name: str
    service: str
    pid: int
    is_up: bool
    is_given_up: bool = False
    is_stopped: bool = False


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker, as the broker sees it.

    Attributes:
        pid: of its process, or of the leader of its process group.
        is_draining: whether it is about to end by itself.
        silent_s: seconds since it was heard.
        stuck_s: seconds for which it has held on to a call that was given up.
    """

    pid: int
    is_draining: bool = False
    silent_s: float = 0.0
    stuck_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What the broker says of its workers.

    Attributes:
        workers: by service.
        partial: services with more workers than it lists.
    """

    workers: Mapping[str, Sequence[Worker]]
    partial: frozenset[str] = frozenset()

    def tells_of(self, service: str) -> bool:
        """Whether who is not listed is not there; a long answer leaves some out."""
        return service in self.workers and service not in self.partial


@dataclass(frozen=True, slots=True)
class Replace:
    """Kill a process; supervisord starts another."""

    process: Process
    why: str


@dataclass(frozen=True, slots=True)
class Revive:
    """Have supervisord start a process that it had given up."""

    process: Process


Action = Replace | Revive

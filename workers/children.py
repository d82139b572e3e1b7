"""Child processes: what is to run, how one ended, and the news of a pool.

The vocabulary that `pool` (what should happen), `spawn` (how it is done) and `manager`
(the two together) share.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..drivers.errors import DETAIL_CHARACTERS_MAX
from .exits import Exit
from .restart import RestartPolicy

START_TIMEOUT_S = 10.0
GRACE_S = 30.0
INSTANCES_MAX = 1_024
HOPELESS_CODES: frozenset[int] = frozenset(
    {Exit.USAGE, Exit.PARAMETERS, Exit.REFUSED, Exit.CONFIGURATION}
)
"""Exit codes after which a restart is of no use, see PROTOCOL.md section 10."""

_TAIL_CHARACTERS_MAX = DETAIL_CHARACTERS_MAX - 500
_OUTSIDE_SIGNALS = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class Readiness(Enum):
    """How it is known that a child is ready."""

    CALLED = "the owner calls Manager.mark_ready, as when a HELLO was accepted"
    TOLD = "the child says so on the descriptor STORAGEBUS_READY_FD"
    ALIVE = "it has not ended within ProcessSpec.alive_s"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A pool of equal child processes.

    Attributes:
        name: of the pool, and of its log `storagebus.driver.NAME`.
        argv: program and arguments; they can be seen by everybody on the machine.
        env: variables set beside the inherited ones; None removes one.
        secrets: values for the references in the arguments; they travel on the
            lifeline's descriptor.
        instances: how many processes; 0 to `INSTANCES_MAX`.
        ready: how readiness is known.
        start_timeout_s: a child that is not ready by then is killed.
        alive_s: for `Readiness.ALIVE`.
        grace_s: from the request to end until the process group is killed.
        surge: whether a rolling restart may run one process more than `instances`; if
            not, the old one ends before the new one starts.
        wave: `Manager.stop` ends the highest wave first, and waits for it.
        restart: when a child that died is started again.
        hopeless_codes: exit codes after which it is not.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str | None] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    instances: int = 1
    ready: Readiness = Readiness.CALLED
    start_timeout_s: float = START_TIMEOUT_S
    alive_s: float = 1.0
    grace_s: float = GRACE_S
    surge: bool = True
    wave: int = 1
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    hopeless_codes: frozenset[int] = HOPELESS_CODES

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError(f"process {self.name!r} needs a program to run")
        check_instances(self.instances)


def check_instances(instances: int) -> int:
    """A number of processes that a pool may have.

    Raises:
        ValueError: it may not.
    """
    if not 0 <= instances <= INSTANCES_MAX:
        raise ValueError(f"instances is {instances}; it must be 0 to {INSTANCES_MAX}")
    return instances


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child process ended.

    Attributes:
        code: its exit code, if it exited.
        signal: the signal that killed it, if one did.
        error: why it could not be started, or why nothing is known of its end.
        tail: the last lines that it wrote to stderr, or else to stdout.
        cookie: what it presented in its HELLO.
    """

    code: int | None = None
    signal: int | None = None
    error: str | None = None
    tail: tuple[str, ...] = ()
    cookie: str = field(default="", compare=False, repr=False)

    @property
    def by_fault(self) -> bool:
        """Whether it ran, and ended by a fault of its own."""
        return self.error is None and not self.by_signal

    @property
    def by_signal(self) -> bool:
        """Whether somebody's signal ended it, rather than a fault of its own."""
        return self.signal in _OUTSIDE_SIGNALS

    def describe(self) -> str:
        """In words, without the last lines: "exited with code 3"."""
        if self.error is not None:
            return self.error
        if self.signal is not None:
            return f"was ended by {signal_name(self.signal)}"
        return f"exited with code {self.code}"

    @property
    def last_line(self) -> str:
        """The last line that it wrote, or ""."""
        return self.tail[-1] if self.tail else ""

    def last_lines(self) -> str:
        """The last lines that it wrote, for the end of an error's detail, or ""."""
        if not self.tail:
            return ""
        text = "\n".join(self.tail)
        if len(text) > _TAIL_CHARACTERS_MAX:
            text = "... " + text[-_TAIL_CHARACTERS_MAX:]
        return f"; its last lines were:\n{text}"


def signal_name(number: int) -> str:
    """ "SIGSEGV" for 11; the number where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """A process runs; it is not ready yet.

    Attributes:
        name: the pool's.
        child: the child's number, never given twice by one manager.
        pid: of the process.
    """

    name: str
    child: int
    pid: int


@dataclass(frozen=True, slots=True)
class ChildReady:
    """A child is ready for work."""

    name: str
    child: int


@dataclass(frozen=True, slots=True)
class ChildLeaving:
    """A child was asked to end; it finishes its work."""

    name: str
    child: int


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child has ended, and all of its process group with it.

    Attributes:
        name: the pool's.
        child: the child's number.
        ending: how.
        expected: whether it had been asked to (stop, shrink, rolling restart).
        was_ready: whether it was ever ready.
        what: how, in words: what its end says, or why it was ended.
    """

    name: str
    child: int
    ending: Ending
    expected: bool
    was_ready: bool
    what: str

    @property
    def detail(self) -> str:
        """A sentence on it, with its last lines unless it was expected."""
        return self.what if self.expected else self.what + self.ending.last_lines()

    @property
    def summary(self) -> str:
        """In a line; of one that never was ready, with the last line that it wrote."""
        if self.was_ready:
            return self.what
        said = self.ending.last_line
        return f"{self.what} before it was ready" + (f": {said}" if said else "")

    @property
    def is_news(self) -> bool:
        """Whether it ended otherwise than somebody has told it to, as a broker does by
        DRAIN."""
        return not self.expected and self.ending.code != Exit.STOPPED


@dataclass(frozen=True, slots=True)
class GaveUp:
    """One place of a pool stays empty: its children die too often.

    Attributes:
        name: the pool's.
        reason: a sentence with how the last one ended and its last lines.
        whole_pool: whether no place of the pool is left.
    """

    name: str
    reason: str
    whole_pool: bool


@dataclass(frozen=True, slots=True)
class Rolled:
    """A rolling restart is over; `error` says why it was broken off, if it was."""

    name: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PoolStopped:
    """A pool that was asked to stop has no process left."""

    name: str


Notice = (
    ChildStarted
    | ChildReady
    | ChildLeaving
    | ChildEnded
    | GaveUp
    | Rolled
    | PoolStopped
)

"""The processes of a chaos run: started, watched, struck, and started again.

A supervisor of its own, deliberately simple: what dies is started again at once, what
stands still for too long is killed. An end that nobody asked for is noted: it is a
crash of the product.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

LINES_KEPT = 40
STANDSTILL_S_MAX = 12.0
"""A process that has stopped itself for so long is killed, as a supervisor would."""


class State(Enum):
    """How a process is."""

    STARTING = "starting"
    READY = "ready"
    STOPPED = "stopped"
    ENDING = "ending"
    DOWN = "down"


@dataclass(slots=True)
class Program:
    """What is run.

    Attributes:
        kind: "broker", "worker" or "client".
        name: of this one.
        command: gives the command line of the next start.
        env: its environment.
        ready: a part of the line that says it is ready; "" counts as ready at once.
        codes: exit codes that are no crash, besides those of a request to end.
    """

    kind: str
    name: str
    command: Callable[[], Sequence[str]]
    env: dict[str, str] = field(default_factory=dict)
    ready: str = ""
    codes: frozenset[int] = frozenset()


class Member:
    """A program and the process that runs it now."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.state = State.DOWN
        self.process: subprocess.Popen[str] | None = None
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.since = 0.0
        self.resume_at: float | None = None
        self.starts = 0

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start the process."""
        self.starts += 1
        self.resume_at = None
        self.state = State.READY if not self.program.ready else State.STARTING
        self.since = time.monotonic()
        self.process = subprocess.Popen(
            list(self.program.command()),
            env={**os.environ, **self.program.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.lines.append(line.rstrip())
                is_word = self.process is process and self.program.ready in line
                if is_word and self.state is State.STARTING:
                    self.state = State.READY
                    self.since = time.monotonic()


class Fleet:
    """All processes.

    Attributes:
        members: by name.
        crashes: ends that nobody asked for, in words.
    """

    def __init__(self, programs: Sequence[Program]) -> None:
        self.members = {program.name: Member(program) for program in programs}
        self.crashes: list[str] = []
        self.is_over = False

    def start(self, kind: str) -> None:
        """Start all of a kind."""
        for member in self.of(kind):
            member.start()

    def of(self, kind: str) -> list[Member]:
        """All of a kind."""
        return [m for m in self.members.values() if m.program.kind == kind]

    def ready(self, kind: str) -> list[Member]:
        """Those of a kind that can work."""
        return [member for member in self.of(kind) if member.state is State.READY]

    def look(self) -> None:
        """Start again what has ended, let go on what has stood still long enough."""
        now = time.monotonic()
        for member in self.members.values():
            process = member.process
            if process is None:
                continue
            if process.poll() is not None:
                self._ended(member, process.returncode)
            elif member.resume_at is not None and now >= member.resume_at:
                member.resume_at = None
                member.send(signal.SIGCONT)
                if member.state is State.STOPPED:
                    member.state = State.READY
            elif member.state is State.READY and is_stopped(process.pid):
                member.state = State.STOPPED  # by a fault of its own
                member.resume_at = None
                member.since = now
            elif (
                member.state is State.STOPPED
                and member.resume_at is None
                and now - member.since > STANDSTILL_S_MAX
            ):
                self.kill(member)

    def kill(self, member: Member) -> None:
        """The hard way."""
        member.state = State.ENDING
        member.send(signal.SIGKILL)

    def terminate(self, member: Member) -> None:
        """The polite way."""
        member.state = State.ENDING
        member.send(signal.SIGTERM)

    def stop(self, member: Member, seconds: float) -> None:
        """Let it stand still for a while."""
        member.state = State.STOPPED
        member.since = time.monotonic()
        member.resume_at = member.since + seconds
        member.send(signal.SIGSTOP)

    def end(self, kind: str, patience_s: float) -> list[str]:
        """End all of a kind politely; what did not, in words."""
        complaints = []
        members = [m for m in self.of(kind) if m.process is not None]
        for member in members:
            member.send(signal.SIGCONT)
            self.terminate(member)
        ends = time.monotonic() + patience_s
        for member in members:
            process, member.process = member.process, None
            assert process is not None
            try:
                code = process.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                complaints.append(f"{member.program.name} does not end")
                process.kill()
                process.wait()
                continue
            member.state = State.DOWN
            if code not in (0, -signal.SIGTERM, *member.program.codes):
                complaints.append(_words(member, code))
        return complaints

    def close(self) -> None:
        """Kill what is left."""
        for member in self.members.values():
            if member.process is not None and member.process.poll() is None:
                member.process.kill()
                member.process.wait()

    def _ended(self, member: Member, code: int) -> None:
        asked = member.state is State.ENDING
        expected = (0, -signal.SIGKILL, -signal.SIGTERM) if asked else ()
        if code not in (*expected, *member.program.codes):
            self.crashes.append(_words(member, code))
        if not self.is_over:
            member.start()


def is_stopped(pid: int) -> bool:
    """Whether a process stands still by a signal."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        )
    except OSError:
        return False


def _words(member: Member, code: int) -> str:
    lines = " | ".join(list(member.lines)[-8:])
    return f"{member.program.name} ended with {code}: {lines}"

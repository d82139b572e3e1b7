"""Starting one child: the parent's side of the spawn contract (PROTOCOL.md section 10).

The child gets a cookie and the number of its lifeline's descriptor in variables, its
secrets in one line on the lifeline, and two pipes for its output. It gets no other
descriptor, and none of the parent's own spawn variables.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from . import descriptors
from .children import Ending, ProcessSpec, Readiness
from .lifeline import LIFELINE_VARIABLE, LINE_BYTES_MAX, READY_VARIABLE
from .logs import LOG_VARIABLE, WITH_LEVELS, split_level
from .output import LineCutter, OutputLog
from .process import Process
from .spawned import COOKIE, FAULTS

SPAWN_PREFIX = "STORAGEBUS_WORKER_"
SECRET_CHARACTERS_MIN = 6
"""A variable is kept from the child when its value equals a secret at least so long."""
READ_BYTES = 65_536
_LAST_READS_MAX = 16
_KEPT_VARIABLES = frozenset(
    {"HOME", "LANG", "LOGNAME", "PATH", "PWD", "PYTHONPATH", "SHELL", "TMPDIR", "USER"}
)


class Child:
    """A child process with its pipes; belongs to the manager's thread.

    Args:
        spec: what to run.
        cookie: what the child presents in its HELLO.
        log: where its lines go.

    Attributes:
        spec: see above.
        cookie: see above.
        process: the process.
        outputs: descriptors to read from, with the `LineCutter` and level of each.
        ready_fd: descriptor on which the child says that it is ready, or -1.
        is_ready: whether it is known to be; until then its lines without a level are
            no warnings, since what keeps it from starting is told when it ends.

    Raises:
        OSError: the program cannot be run, or there are no descriptors left.
        ValueError: an argument, variable or secret cannot be given to a process.
    """

    def __init__(self, spec: ProcessSpec, cookie: str, log: OutputLog) -> None:
        self.spec = spec
        self.cookie = cookie
        self.outputs: dict[int, tuple[LineCutter, int]] = {}
        self.ready_fd = -1
        self.is_ready = False
        self._log = log
        self._lifeline = -1
        theirs: list[int] = []
        try:
            self.process = self._start(theirs)
        except BaseException:
            self.close()
            raise
        finally:
            for fd in theirs:
                descriptors.close(fd)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    def read_output(self, fd: int) -> bool:
        """Read once from one of `outputs`; False when it has ended or is empty."""
        cutter, level = self.outputs[fd]
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        self._tell(level, cutter.feed(data) if data else cutter.finish())
        return bool(data)

    def said_ready(self) -> bool:
        """Read from `ready_fd`: whether the child has said that it is ready."""
        try:
            return bool(os.read(self.ready_fd, READ_BYTES))
        except BlockingIOError:
            return False

    def reap(self) -> Ending:
        """Take the end of a process that is over, with its last lines; closes all."""
        ending = self.process.reap()
        tails = [_texts(cutter) for cutter in self._read_rest()]
        self.close()
        # stderr comes second; stdout speaks where stderr is silent.
        tail = next((tail for tail in reversed(tails) if tail), ())
        return replace(ending, tail=tail, cookie=self.cookie)

    def close(self) -> None:
        """Close the pipes; the end of the lifeline tells the child to end."""
        for fd in [*self.outputs, self.ready_fd, self._lifeline]:
            descriptors.close(fd)
        self.outputs = {}
        self.ready_fd = self._lifeline = -1

    def _read_rest(self) -> Iterator[LineCutter]:
        for fd, (cutter, level) in self.outputs.items():
            for _ in range(_LAST_READS_MAX):
                if not self.read_output(fd):
                    break
            self._tell(level, cutter.finish())
            yield cutter

    def _tell(self, level: int, lines: list[str]) -> None:
        if not self.is_ready:
            level = min(level, logging.INFO)
        self._log.put(self.spec.name, level, self.pid, lines)

    def _start(self, theirs: list[int]) -> Process:
        spec = self.spec
        lifeline, self._lifeline = descriptors.open_pipe()
        theirs.append(lifeline)
        _send_line(self._lifeline, spec.secrets)
        given = {
            LIFELINE_VARIABLE: str(lifeline),
            COOKIE: self.cookie,
            LOG_VARIABLE: WITH_LEVELS,
        }
        for level in (logging.INFO, logging.WARNING):
            reading, writing = descriptors.open_pipe()
            os.set_blocking(reading, False)
            self.outputs[reading] = LineCutter(), level
            theirs.append(writing)
        stdout, stderr = theirs[1:]
        passed = [lifeline]
        if spec.ready is Readiness.TOLD:
            self.ready_fd, writing = descriptors.open_pipe()
            os.set_blocking(self.ready_fd, False)
            theirs.append(writing)
            passed.append(writing)
            given[READY_VARIABLE] = str(writing)
        env = child_environment(spec, os.environ) | given
        return Process(spec.argv, env, stdout=stdout, stderr=stderr, pass_fds=passed)


def child_environment(
    spec: ProcessSpec, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a child, but for what differs from child to child.

    Left out of the inherited variables are those of the parent's own spawning (not the
    plan of faults, which a test gives to whatever worker there is below), and those
    that hold one of the child's secrets (as when a registry was given its
    storage key in a variable).
    """
    secrets = set(_strings(spec.secrets))
    env = {
        name: value
        for name, value in inherited.items()
        if (not name.startswith(SPAWN_PREFIX) or name == FAULTS)
        and name != READY_VARIABLE
        and (value not in secrets or name in _KEPT_VARIABLES)
    }
    for name, wanted in spec.env.items():
        if wanted is None:
            env.pop(name, None)
        else:
            env[name] = wanted
    return env


def _texts(cutter: LineCutter) -> tuple[str, ...]:
    """The last lines of an output, without their levels."""
    return tuple(split_level(line, 0)[1] for line in cutter.tail)


def _strings(value: object) -> Iterator[str]:
    """All strings in a value that are long enough to be told from chance."""
    if isinstance(value, str):
        if len(value) >= SECRET_CHARACTERS_MIN:
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)


def _send_line(fd: int, secrets: Mapping[str, Any]) -> None:
    """Put the one line into the lifeline, before there is a child that could read it.

    Raises:
        ValueError: the secrets are too large, or no JSON.
        OSError: the system grants no pipe large enough.
    """
    line = json.dumps({"secrets": dict(secrets)}, allow_nan=False).encode() + b"\n"
    if len(line) > LINE_BYTES_MAX:
        raise ValueError(
            f"secret parameters take {len(line)} bytes; at most {LINE_BYTES_MAX} "
            "can be handed to a child process"
        )
    # The system shrinks the pipes of a user who has many; ask for what is needed.
    if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < len(line):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, len(line))
    os.set_blocking(fd, False)
    if os.write(fd, line) != len(line):
        raise OSError("the pipe for the secret parameters is too small")

"""The guard: kills the children's process groups when this process is killed.

A child that honours its lifeline ends by itself when its parent is gone. One that is
stuck, does not know the contract, or has started helpers that do not, would stay. The
guard is one small shell process per manager. It reads the numbers of the groups from a
pipe, and when the pipe ends, because the parent ended in whatever way, it kills those
that are left.

Not PR_SET_PDEATHSIG: that follows the thread that started the child rather than the
process, reaches no grandchild, and needs code between fork and exec, which is unsafe
in a program with threads.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from . import descriptors
from .process import Process

RESTART_S = 1.0
"""Shortest time between two starts of a guard."""
END_WAIT_S = 1.0

# A group is taken off the list before its leader is reaped, so that its number is
# still its own whenever the guard acts on it.
_SCRIPT = """\
trap '' HUP INT TERM
groups=' '
while read -r verb group; do
  case $verb in
    +) groups="$groups$group " ;;
    -) case $groups in
         *" $group "*) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
       esac ;;
  esac
done
for group in $groups; do
  kill -s KILL -- "-$group"
done 2>/dev/null
if [ -n "$1" ]; then rm -rf -- "$1"; fi
"""
_ENVIRONMENT = {"PATH": os.defpath}


class Guard:
    """The guard of one manager; belongs to the manager's thread.

    Args:
        directory: removed when this process is gone, or the guard is closed; "" for
            none.
        shell: a POSIX shell.
    """

    def __init__(self, directory: str = "", shell: str = "/bin/sh") -> None:
        self._directory = directory
        self._shell = shell
        self._process: Process | None = None
        self._pipe = -1
        self._started_at = float("-inf")

    @property
    def fd(self) -> int:
        """Its pidfd, readable when it has ended; -1 while there is none."""
        return self._process.fd if self._process is not None else -1

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._process.pid if self._process is not None else None

    def ensure(self, groups: Iterable[int], now: float) -> bool:
        """Start it if there is none, at most once in `RESTART_S`.

        Args:
            groups: all that are to be killed.
            now: seconds on the manager's clock.

        Returns:
            Whether it was started; `fd` is then a new one.

        Raises:
            OSError: there is no shell; the lifeline must do.
        """
        if self._process is not None or now - self._started_at < RESTART_S:
            return False
        self._started_at = now
        reading, writing = descriptors.open_pipe()
        os.set_blocking(writing, False)
        try:
            self._process = Process(
                [self._shell, "-c", _SCRIPT, "storagebus-guard", self._directory],
                _ENVIRONMENT,
                stdin=reading,
            )
        except OSError:
            descriptors.close(writing)
            raise
        finally:
            descriptors.close(reading)
        self._pipe = writing
        for group in groups:
            self.add(group)
        return True

    def add(self, group: int) -> None:
        """From now on this group is to be killed."""
        self._tell(f"+ {group}\n")

    def remove(self, group: int) -> None:
        """This group is gone; to be called before its leader is reaped."""
        self._tell(f"- {group}\n")

    def close(self) -> None:
        """End it; it kills what is still on its list."""
        if self._process is None:
            return
        descriptors.close(self._pipe)
        process, self._process = self._process, None
        if not process.wait(END_WAIT_S):
            process.send(signal.SIGKILL)
            process.wait(END_WAIT_S)
        if process.is_over():
            process.reap()

    def _tell(self, line: str) -> None:
        if self._process is None:
            return
        try:
            os.write(self._pipe, line.encode())
        except OSError:
            # Gone, or stuck behind a full pipe: `ensure` starts another, which is
            # told of every group.
            self._process.send(signal.SIGKILL)

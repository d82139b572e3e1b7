"""A process that this one started: signals, its end, and nobody else's process.

Everything goes through a pidfd. A number may be given to another process as soon as
the first is reaped; a pidfd never means another one. The process group is killed
after its leader has ended and before it is reaped, so that no grandchild stays.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence

from . import descriptors
from .children import Ending

_LOOK = os.WNOHANG | os.WNOWAIT
_SIGNAL_PROCESS_GROUP = 4
"""Flag of pidfd_send_signal, from Linux 6.9 on."""
_STOLEN = (
    "ended, but its exit status was taken by something else in this program "
    "(SIGCHLD is ignored, or somebody waits for any child)"
)


class Process:
    """Start a program as the leader of a session and process group of its own.

    Args:
        argv: program and arguments.
        env: its whole environment.
        stdin: descriptor, or `subprocess.DEVNULL`; likewise the others.
        stdout: see `stdin`.
        stderr: see `stdin`.
        pass_fds: further descriptors, which keep their numbers.

    Attributes:
        pid: its number.
        fd: its pidfd; readable when the process has ended.

    Raises:
        OSError: the program cannot be run.
        ValueError: an argument or variable holds what no process can be given.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.DEVNULL,
        pass_fds: Collection[int] = (),
    ) -> None:
        started = subprocess.Popen(
            argv,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        # Popen is only the way to start; what it waits for by number is waited for
        # here by pidfd, and a Popen that knows no return code complains when it goes.
        started.returncode = 0
        self.pid = started.pid
        try:
            self.fd = descriptors.open_pidfd(self.pid)
        except ProcessLookupError:
            raise OSError(f"{argv[0]} {_STOLEN}") from None
        self._ending: Ending | None = None

    def send(self, number: int) -> None:
        """Send a signal to the process; without effect when it has ended."""
        if self._ending is None:
            try:
                signal.pidfd_send_signal(self.fd, number)
            except (ProcessLookupError, PermissionError):
                pass  # ended; or it changed its user, and only its lifeline is left

    def send_group(self, number: int) -> None:
        """Send a signal to all of its process group, even if its leader has ended."""
        if self._ending is not None:
            return
        try:
            signal.pidfd_send_signal(self.fd, number, None, _SIGNAL_PROCESS_GROUP)
        except (ProcessLookupError, PermissionError):
            pass
        except OSError:  # an older kernel
            self._send_group_by_number(number)

    def is_over(self) -> bool:
        """Whether it has ended."""
        if self._ending is not None:
            return True
        try:
            return os.waitid(os.P_PIDFD, self.fd, os.WEXITED | _LOOK) is not None
        except ChildProcessError:
            return True  # somebody else has reaped it

    def wait(self, timeout_s: float) -> bool:
        """Whether it ends within a time."""
        if self._ending is None:
            poller = select.poll()
            poller.register(self.fd, select.POLLIN)
            poller.poll(timeout_s * 1000)
        return self.is_over()

    def reap(self) -> Ending:
        """How it ended; for a process that `is_over`. The rest of its group is killed.

        Repeated, it gives the same answer.
        """
        if self._ending is None:
            self.send_group(signal.SIGKILL)
            try:
                result = os.waitid(os.P_PIDFD, self.fd, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                result = None
            self._ending = _ending(result)
            descriptors.close(self.fd)
        return self._ending

    def _send_group_by_number(self, number: int) -> None:
        # The number is the process's own only until it is reaped; if something else
        # in this program may have reaped it, its group must be left alone.
        try:
            os.waitid(os.P_PIDFD, self.fd, os.WEXITED | _LOOK)
            os.killpg(self.pid, number)
        except (ChildProcessError, ProcessLookupError, PermissionError):
            pass


def _ending(result: os.waitid_result | None) -> Ending:
    if result is None:
        return Ending(error=_STOLEN)
    if result.si_code == os.CLD_EXITED:
        return Ending(code=result.si_status)
    return Ending(signal=result.si_status)

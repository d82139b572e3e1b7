"""The child's side of its parent's descriptors: the lifeline, and word of readiness.

A parent that manages this process hands it the read end of a pipe. The pipe carries
one line at the start (PROTOCOL.md section 10) and nothing afterwards: when it ends,
the parent is gone, however it went. It is more certain than asking for the parent's
pid, and works across a shell in between.

Worker and broker processes use it, under `storagebus up` and as managed children.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping

LIFELINE_VARIABLE = "STORAGEBUS_WORKER_FD"
"""Number of the descriptor that this process has as its lifeline."""
READY_VARIABLE = "STORAGEBUS_READY_FD"
"""Number of a descriptor on which this process may say that it is ready."""
LINE_BYTES_MAX = 65_536
READY_LINE = b"ready\n"
LOST_EXIT_CODE = 75
"""Exit code of a process that ended because its parent was gone."""
_READ_BYTES = 4_096


def descriptor(
    variable: str = LIFELINE_VARIABLE, environ: Mapping[str, str] | None = None
) -> int | None:
    """The descriptor that the parent named in a variable.

    Args:
        variable: `LIFELINE_VARIABLE` or `READY_VARIABLE`.
        environ: where to look; None for this process's environment.

    Returns:
        The descriptor, no longer inheritable; None when no parent gave one.

    Raises:
        ValueError: the variable names no open descriptor; says which.
    """
    text = (os.environ if environ is None else environ).get(variable, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"{variable} is {text!r}; it must be a descriptor's number")
    try:
        # A program that this process starts has no use for it.
        os.set_inheritable(int(text), False)
    except OSError as error:
        raise ValueError(f"{variable} is {text}: {error.strerror}") from None
    return int(text)


def read_line(fd: int) -> bytes:
    """The one line that the parent sends at the start; waits for it.

    The parent writes the line before it starts the child, so that the wait is short;
    the start-up deadline of the parent bounds it.

    Raises:
        ValueError: the parent went away first, or sent more than `LINE_BYTES_MAX`.
    """
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(fd, _READ_BYTES)
        if not piece:
            raise ValueError("the parent closed the descriptor before it sent a line")
        line += piece
        if len(line) > LINE_BYTES_MAX:
            raise ValueError(f"the parent's line is longer than {LINE_BYTES_MAX} bytes")
    return bytes(line)


def watch(fd: int, on_lost: Callable[[], None]) -> threading.Thread:
    """Call `on_lost`, from a thread of its own, when the parent is gone.

    What still arrives on the descriptor is read and dropped.

    Args:
        fd: the lifeline; from now on this thread's alone.
        on_lost: called once. `end_group` is the bluntest choice.

    Returns:
        The thread, which is a daemon and needs no joining.
    """
    os.fstat(fd)  # a wrong number is the caller's error, not a lost parent

    def wait() -> None:
        try:
            while os.read(fd, _READ_BYTES):
                pass
        except OSError:
            pass  # unreadable is as good as ended
        on_lost()

    thread = threading.Thread(target=wait, name="storagebus-lifeline", daemon=True)
    thread.start()
    return thread


def tell_ready(environ: Mapping[str, str] | None = None) -> None:
    """Say once to the parent, if it wants to know, that this process is ready."""
    fd = descriptor(READY_VARIABLE, environ)
    if fd is None:
        return
    try:
        os.write(fd, READY_LINE)
        os.close(fd)
    except OSError:
        pass  # the parent is gone, which the lifeline finds out too
    if environ is None:
        del os.environ[READY_VARIABLE]


def end_group(code: int = LOST_EXIT_CODE) -> None:
    """End this process at once, and with it what it started in its process group.

    A parent starts each child as the leader of a group, so that a leader may take its
    group along. A process that does not lead its group ends alone: the group is then
    somebody's shell.

    Args:
        code: exit code, where the process is not taken along with its group.
    """
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(code)

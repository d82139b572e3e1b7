"""Descriptors that no forked process keeps."""

import os
import select
import threading
import warnings
from pathlib import Path

from storagebus.workers import descriptors


def fork() -> int:
    with warnings.catch_warnings():
        # Newer Pythons warn of forking with threads, which is what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_forked_process_does_not_keep_a_pipe_open() -> None:
    reading, writing = descriptors.open_pipe()
    go, hold = os.pipe()
    pid = fork()
    if pid == 0:  # lives on until the test is over
        os.close(hold)
        os.read(go, 1)
        os._exit(is_open(reading) or is_open(writing))
    os.close(go)
    descriptors.close(writing)
    assert select.select([reading], [], [], 5)[0]
    assert os.read(reading, 1) == b""
    descriptors.close(reading)
    os.close(hold)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_closing_in_a_forked_process_touches_no_other_descriptor() -> None:
    reading, writing = descriptors.open_pipe()
    pid = fork()
    if pid == 0:
        again = os.dup(0)  # takes the lowest free number
        while again < writing:
            again = os.dup(0)
        descriptors.close(reading)
        descriptors.close(writing)
        os._exit(not (is_open(reading) and is_open(writing)))
    descriptors.close(reading)
    descriptors.close(reading)
    descriptors.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_forks_amid_opening_never_leave_a_writing_end_behind() -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for fd in descriptors.open_pipe():
                descriptors.close(fd)

    before = len(list(Path("/proc/self/fd").iterdir()))
    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes = []
    for _ in range(40):
        pid = fork()
        if pid == 0:
            os._exit(len(list(Path("/proc/self/fd").iterdir())) > before)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    stop.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 40

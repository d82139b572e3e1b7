"""The child's side: the descriptor, its one line, and its end."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from storagebus.workers import lifeline


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe; whatever of it is still open is closed."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            pass


def test_the_variable_names_the_descriptor(pipe: tuple[int, int]) -> None:
    os.set_inheritable(pipe[0], True)
    found = lifeline.descriptor(environ={"STORAGEBUS_WORKER_FD": str(pipe[0])})
    assert found == pipe[0]
    assert not os.get_inheritable(pipe[0])
    assert lifeline.descriptor(environ={}) is None


@pytest.mark.parametrize("text", ["x", "-1", "3.0", "99999", "9" * 30, "\u0663"])
def test_a_wrong_variable_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(ValueError, match="STORAGEBUS_WORKER_FD"):
        lifeline.descriptor(environ={"STORAGEBUS_WORKER_FD": text})


def test_the_line_may_come_in_pieces(pipe: tuple[int, int]) -> None:
    line = b'{"secrets": {"word": "' + os.urandom(10_000).hex().encode() + b'"}}\n'

    def send() -> None:
        for at in range(0, len(line), 7_001):
            os.write(pipe[1], line[at : at + 7_001])

    sender = threading.Thread(target=send)
    sender.start()
    assert lifeline.read_line(pipe[0]) == line
    sender.join()


def test_a_parent_that_goes_before_the_line_is_an_error(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"half a li")
    os.close(pipe[1])
    with pytest.raises(ValueError, match="before it sent a line"):
        lifeline.read_line(pipe[0])


def test_the_end_of_the_pipe_is_noticed_once_and_bytes_are_not(
    pipe: tuple[int, int],
) -> None:
    lost = threading.Semaphore(0)
    thread = lifeline.watch(pipe[0], lost.release)
    os.write(pipe[1], b"noise\n" * 1_000)
    assert not lost.acquire(timeout=0.1)
    os.close(pipe[1])
    thread.join(20)
    assert lost.acquire(blocking=False)
    assert not lost.acquire(blocking=False)


def test_a_wrong_descriptor_is_the_callers_error() -> None:
    with pytest.raises(OSError):
        lifeline.watch(99_999, lambda: None)


def test_word_of_readiness_is_sent_once(pipe: tuple[int, int]) -> None:
    lifeline.tell_ready({"STORAGEBUS_READY_FD": str(pipe[1])})
    assert os.read(pipe[0], 100) == b"ready\n"
    assert os.read(pipe[0], 100) == b""
    lifeline.tell_ready({})


END = "from storagebus.workers.lifeline import end_group; end_group()"


def test_the_leader_of_a_group_takes_it_along() -> None:
    script = f"import subprocess; subprocess.Popen(['sleep', '60']); {END}"
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=writing, process_group=0
    )
    os.close(writing)
    assert child.wait(10) == -signal.SIGKILL
    # The sleeper held the pipe: it ends only with the sleeper.
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_who_does_not_lead_its_group_ends_alone() -> None:
    child = subprocess.run([sys.executable, "-c", END], check=False)
    assert child.returncode == lifeline.LOST_EXIT_CODE

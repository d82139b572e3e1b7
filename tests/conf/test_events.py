"""The event channel, as supervisord sees it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from io import FileIO
from tempfile import TemporaryFile

import pytest

from storagebus.conf.events import acknowledge


def event(serial: int, payload: bytes) -> bytes:
    return (
        f"ver:3.0 server:s serial:{serial} pool:p poolserial:{serial} "
        f"eventname:TICK_5 len:{len(payload)}\n"
    ).encode() + payload


def answers(*sent: bytes) -> tuple[int, bytes]:
    """How many events were answered, and how."""
    with TemporaryFile(buffering=0) as reading, TemporaryFile(buffering=0) as writing:
        assert isinstance(reading, FileIO)
        assert isinstance(writing, FileIO)
        for piece in sent:
            reading.write(piece)
        reading.seek(0)
        count = acknowledge(reading, writing)
        writing.seek(0)
        return count, writing.readall()


def test_every_event_is_answered() -> None:
    chance = random.Random(5)
    # The numbers have gaps where supervisord has dropped events.
    serials = sorted(chance.sample(range(1_000), 50))
    events = [event(serial, chance.randbytes(serial % 70)) for serial in serials]
    assert answers(*events) == (50, b"READY\n" + b"RESULT 2\nOKREADY\n" * 50)


@pytest.mark.parametrize("left", [0, 1, 19])
def test_supervisord_goes_in_the_middle(left: int) -> None:
    whole = event(1, b"x" * 20)
    assert answers(whole[: len(whole) - 20 + left]) == (0, b"READY\n")


@pytest.mark.parametrize(
    "sent", [b"\n", b"len:x\n", b"len:-1\n", b"serial:1\n", b"len:99999999\n", b"ver"]
)
def test_what_is_no_event(sent: bytes) -> None:
    with pytest.raises(ValueError, match="supervisord sent"):
        answers(sent)


def test_nobody_reads_the_answers() -> None:
    heard, said = os.pipe()
    os.close(heard)
    with FileIO(os.open(os.devnull, os.O_RDONLY)) as reading, FileIO(said, "wb") as out:
        assert acknowledge(reading, out) == 0


def test_one_event_after_the_other() -> None:
    """An answer waits for nothing but its event, which may come in pieces."""
    from_us, to_us = os.pipe()
    heard, said = os.pipe()
    with FileIO(from_us) as events, FileIO(said, "wb") as out:
        thread = threading.Thread(target=acknowledge, args=(events, out))
        thread.start()
        assert os.read(heard, 100) == b"READY\n"
        for serial in range(3):
            for byte in event(serial, b"when:1"):
                os.write(to_us, bytes([byte]))
            expected = b"RESULT 2\nOKREADY\n"
            got = b""
            while len(got) < len(expected):
                got += os.read(heard, 100)
            assert got == expected
        os.close(to_us)
        thread.join(20)
        assert not thread.is_alive()
    os.close(heard)


def test_prints_do_not_reach_the_channel() -> None:
    code = """
import os, subprocess, sys, threading
from storagebus.conf.events import claim_channel
reading, writing = claim_channel()
print("stray", flush=True)
os.write(1, b"byte\\n")
subprocess.run(["echo", "child"], check=True)
threading.Thread(target=reading.readline, daemon=True).start()
writing.write(b"READY\\n")
"""
    command = [sys.executable, "-c", code]
    heard, said = os.pipe()
    # Nothing comes: the thread still reads when the process ends.
    done = subprocess.run(command, stdin=heard, capture_output=True, timeout=20)
    os.close(heard)
    os.close(said)
    assert done.returncode == 0
    assert done.stdout == b"READY\n"
    assert done.stderr.splitlines() == [b"stray", b"byte", b"child"]

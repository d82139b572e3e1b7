"""Large copies take turns, and nobody waits for ever."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from storagebus.broker.lanes import Descriptor
from storagebus.client import filelane, turns
from storagebus.client.filelane import FileLane
from storagebus.client.turns import LARGE_BYTES, Turns

DATA = os.urandom(LARGE_BYTES + 5)


PATIENCE_S = 30.0


def test_no_more_at_once_than_there_are_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S_MAX", PATIENCE_S)
    shared = Turns(2)
    lock, here, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal here, most
        for _ in range(20):
            with shared.take():
                with lock:
                    here += 1
                    most = max(most, here)
                time.sleep(0.0005)
                with lock:
                    here -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert most == 2


def test_who_waits_too_long_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S_MAX", 0.02)
    shared = Turns(1)
    with shared.take():
        for _ in range(3):
            began = time.monotonic()
            with shared.take():
                assert time.monotonic() - began >= 0.02
    assert shared._free.qsize() == 1  # it was given back once, not four times


def test_a_turn_is_given_back_after_an_error() -> None:
    shared = Turns(1)
    with pytest.raises(KeyError), shared.take():
        raise KeyError
    assert shared._free.qsize() == 1


def test_a_forked_child_has_all_turns() -> None:
    taken = [turns.copies.take() for _ in range(turns.copies._count)]
    child = os.fork()
    if not child:
        os._exit(0 if turns.copies._free.qsize() == len(taken) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    for turn in taken:
        with turn:
            pass


def test_large_reads_of_what_is_in_memory_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counted(Turns):
        taken = 0

        def take(self) -> turns.Turn:
            self.taken += 1
            return super().take()

    counted = Counted(1)
    monkeypatch.setattr(filelane, "copies", counted)
    file = tmp_path / "a"
    file.write_bytes(DATA)
    opened = Descriptor(os.open(file, os.O_RDONLY))
    lane = FileLane(opened, 0, len(DATA), "/a")
    assert lane.read(3) == DATA[:3]
    assert counted.taken == 0
    assert lane.read(LARGE_BYTES) == DATA[3 : LARGE_BYTES + 3]
    assert counted.taken == 1
    assert lane.read(LARGE_BYTES - 1) == DATA[LARGE_BYTES + 3 :][: LARGE_BYTES - 1]
    assert counted.taken == 1, "it is small"
    lane.close()
    lane = FileLane(Descriptor(os.open(file, os.O_RDONLY)), 0, len(DATA), "/a")
    assert lane.peek(LARGE_BYTES, ready=False, within_s=1).data == DATA[:LARGE_BYTES]
    assert counted.taken == 1, "it may wait for a disk"
    lane.close()

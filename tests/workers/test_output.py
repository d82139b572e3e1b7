"""Cutting a child's output into lines, and logging that may be slow."""

import logging
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.workers.output import (
    LINE_BYTES_MAX,
    QUEUE_LINES_MAX,
    TAIL_LINES_MAX,
    LineCutter,
    OutputLog,
)


@given(st.binary(max_size=400), st.integers(0, 2**32))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, seed: int) -> None:
    chance, cutter, lines, at = random.Random(seed), LineCutter(), list[str](), 0
    while at < len(data):
        step = chance.randint(1, 40)
        lines += cutter.feed(data[at : at + step])
        at += step
    lines += cutter.finish()
    whole = [line.rstrip(b"\r") for line in data.split(b"\n")]
    assert lines == [line.decode(errors="backslashreplace") for line in whole if line]


def test_a_line_without_an_end_is_cut_and_not_hoarded() -> None:
    cutter = LineCutter()
    lines = cutter.feed(b"x" * (10 * LINE_BYTES_MAX + 5))
    assert [len(line) for line in lines] == [LINE_BYTES_MAX] * 10
    assert cutter.finish() == ["x" * 5]
    assert cutter.finish() == []


def test_only_the_last_lines_are_kept() -> None:
    cutter = LineCutter()
    cutter.feed(b"".join(b"line %d\n" % number for number in range(1_000)))
    assert len(cutter.tail) == TAIL_LINES_MAX
    assert cutter.tail[-1] == "line 999"


class Slow(logging.Handler):
    """A handler that waits at its first record until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        assert self.go.wait(10)
        self.messages.append(record.getMessage())


def test_slow_logging_loses_lines_and_says_how_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler, logger = Slow(), logging.getLogger("storagebus.driver.noisy")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    log = OutputLog()
    try:
        log.put("noisy", logging.INFO, 4711, ["first"])
        assert handler.entered.wait(10)
        lines = [f"line {number}" for number in range(QUEUE_LINES_MAX + 500)]
        log.put("noisy", logging.INFO, 4711, lines)  # does not wait
        assert log.dropped == 500
        handler.go.set()
        log.close()
    finally:
        handler.go.set()
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert handler.messages[0] == "noisy[4711]: first"
    assert handler.messages[1] == "500 lines were dropped: logging is slow"
    assert handler.messages[2] == "noisy[4711]: line 0"
    assert len(handler.messages) == 2 + QUEUE_LINES_MAX
    assert caplog.records[-1].__dict__["child_pid"] == 4711

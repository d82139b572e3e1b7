"""Log lines with levels, from a child to its parent."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.workers.logs import (
    LOG_VARIABLE,
    WITH_LEVELS,
    LevelFormatter,
    configure,
    split_level,
)


def record(level: int, message: str, name: str = "storagebus.worker") -> str:
    made = logging.LogRecord(name, level, __file__, 1, message, (), None)
    return LevelFormatter().format(made)


@pytest.mark.parametrize("level", [10, 20, 30, 40, 50])
def test_a_level_arrives_as_it_was(level: int) -> None:
    line = record(level, "text")
    assert split_level(line, 0) == (level, "text")


@pytest.mark.parametrize(("level", "as_level"), [(25, 20), (5, 30), (60, 30)])
def test_a_level_between_the_named_ones(level: int, as_level: int) -> None:
    assert split_level(record(level, "text"), 0) == (as_level, "text")


def test_every_line_of_a_record_has_its_level() -> None:
    assert record(40, "one\ntwo") == "<3>one\n<3>two"
    assert record(20, "") == "<6>"


def test_the_name_of_another_logger_is_kept() -> None:
    assert record(30, "text", "boto3.client") == "<4>boto3.client: text"


def test_a_traceback_is_part_of_the_error() -> None:
    try:
        raise ValueError("on purpose")
    except ValueError:
        made = logging.LogRecord("a", 40, __file__, 1, "it failed", (), sys.exc_info())
    lines = LevelFormatter().format(made).splitlines()
    assert lines[0] == "<3>a: it failed"
    assert lines[-1] == "<3>ValueError: on purpose"
    assert all(line.startswith("<3>") for line in lines)


@given(st.text(alphabet=st.characters(exclude_characters="\n")))
def test_a_line_without_a_level_is_left_as_it_is(line: str) -> None:
    level, text = split_level(line, 33)
    assert (level, text) == (33, line) or line[:1] + line[2:3] == "<>"


@pytest.mark.parametrize("line", ["<8>a", "< 4>a", "a<4>", "<4", "<44>a", ""])
def test_what_is_no_level(line: str) -> None:
    assert split_level(line, 20) == (20, line)


@pytest.mark.parametrize(
    ("environ", "line"),
    [({LOG_VARIABLE: WITH_LEVELS}, "<6>text"), ({}, "INFO: text")],
)
def test_what_is_written_is_what_the_parent_wants(
    environ: dict[str, str],
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    try:
        configure("INFO", "%(levelname)s: %(message)s", environ=environ)
        logging.getLogger("storagebus.worker").info("text")
    finally:
        root.setLevel(level)
    assert capsys.readouterr().err == line + "\n"


def test_chat_and_warnings_go_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    try:
        configure(chat=sys.stdout, environ={LOG_VARIABLE: WITH_LEVELS})
        logging.getLogger("storagebus.worker").info("said")
        logging.getLogger("storagebus.worker").warning("warned")
    finally:
        root.setLevel(level)
    assert capsys.readouterr() == ("<6>said\n", "<4>warned\n")

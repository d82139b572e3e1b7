"""The words for how a child ended, and what a specification refuses."""

import pytest

from storagebus.drivers.errors import DETAIL_CHARACTERS_MAX, UnavailableError
from storagebus.workers.children import (
    INSTANCES_MAX,
    ChildEnded,
    Ending,
    ProcessSpec,
    signal_name,
)


@pytest.mark.parametrize(
    ("ending", "words", "by_signal"),
    [
        (Ending(code=0), "exited with code 0", False),
        (Ending(signal=6), "was ended by SIGABRT", False),
        (Ending(signal=11), "was ended by SIGSEGV", False),
        (Ending(signal=9), "was ended by SIGKILL", True),
        (Ending(signal=15), "was ended by SIGTERM", True),
        (Ending(error="could not be started"), "could not be started", False),
    ],
)
def test_an_ending_in_words(ending: Ending, words: str, by_signal: bool) -> None:
    assert ending.describe() == words
    assert ending.by_signal is by_signal


def test_a_signal_without_a_name_has_its_number() -> None:
    assert signal_name(11) == "SIGSEGV"
    assert signal_name(250) == "signal 250"


def test_the_last_lines_fit_into_an_error_and_the_very_last_is_kept() -> None:
    tail = (*("x" * 4_000 for _ in range(19)), "the reason")
    detail = "was ended by SIGSEGV" + Ending(signal=11, tail=tail).last_lines()
    assert len(detail) < DETAIL_CHARACTERS_MAX
    assert UnavailableError(detail).detail.endswith("\nthe reason")
    assert Ending(code=1).last_lines() == ""


@pytest.mark.parametrize("instances", [-1, INSTANCES_MAX + 1])
def test_a_wrong_number_of_instances_is_refused(instances: int) -> None:
    with pytest.raises(ValueError, match="instances"):
        ProcessSpec("acme", ("run",), instances=instances)


def test_a_specification_needs_a_program_and_hides_its_secrets() -> None:
    with pytest.raises(ValueError, match="'acme' needs a program"):
        ProcessSpec("acme", ())
    assert "hush" not in repr(ProcessSpec("acme", ("run",), secrets={"word": "hush"}))


@pytest.mark.parametrize(
    ("ending", "is_news"),
    [
        (Ending(code=0), False),  # a DRAIN of its broker, for one
        (Ending(code=1), True),
        (Ending(signal=9), True),
        (Ending(signal=11), True),
        (Ending(error="could not be started"), True),
    ],
)
def test_what_a_broker_is_told_of(ending: Ending, is_news: bool) -> None:
    for expected in (False, True):
        ended = ChildEnded("p", 1, ending, expected, True, "")
        assert ended.is_news is (is_news and not expected)

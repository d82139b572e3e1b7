"""Plays every transcript of this folder; see support/transcripts.py for the format."""

from __future__ import annotations

from pathlib import Path

import pytest
from broker_script import BrokerScript
from session_script import SessionScript
from transcripts import play

SCRIPTS = {"broker": BrokerScript, "session": SessionScript}
FILES = sorted(
    path
    for path in Path(__file__).parent.glob("*.txt")
    if path.name.partition("_")[0] in SCRIPTS
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    play(path, SCRIPTS[path.name.partition("_")[0]]().run)


def test_all_kinds_are_played() -> None:
    assert {path.name.partition("_")[0] for path in FILES} == set(SCRIPTS)

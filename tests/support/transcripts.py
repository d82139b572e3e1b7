"""Transcripts: commands and what they print, in a file that a person can read.

    # a comment
    command
        what it prints

With STORAGEBUS_REWRITE=1 in the environment what the files say is replaced by what is
printed now; commit only a change that you understand.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

REWRITE = "STORAGEBUS_REWRITE"
INDENT = "    "


def play(path: Path, run: Callable[[str], list[str]]) -> None:
    """Run a transcript and compare, or rewrite it.

    Args:
        path: the file.
        run: executes one command and returns the lines that it prints.
    """
    written: list[str] = []
    before = path.read_text().splitlines()
    for line in before:
        if line.startswith(INDENT):
            continue
        written.append(line)
        if line and not line.startswith("#"):
            written += [INDENT + printed for printed in run(line)]
    if REWRITE in os.environ:
        path.write_text("\n".join(written) + "\n")
    else:
        assert written == before, f"{path.name} says otherwise"

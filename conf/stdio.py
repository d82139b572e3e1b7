"""Standard streams that the caller has closed, as some supervisors and `cmd >&-` do."""

from __future__ import annotations

import os
import sys


def replace_missing_streams() -> None:
    """Put something in the place of each closed standard stream; for the very start.

    Otherwise the next file or socket takes its number, and whatever is printed, by this
    process or a child, goes there. Output is thrown away then. Input cannot be read:
    were it merely empty, `put -` would store an object of nothing.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, os.O_WRONLY)  # also of stdin: to read it is an error
        if null != number and not _is_open(number):
            os.dup2(null, number)
            os.close(null)
            null = number
        os.set_inheritable(null, null == number)
        kind = "w" if number else "r"
        setattr(sys, name, open(null, kind, encoding="utf-8"))  # noqa: SIM115, PTH123


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True

"""Exit codes of a worker process (PROTOCOL.md section 10), after sysexits(3)."""

from __future__ import annotations

from enum import IntEnum

from .lifeline import LOST_EXIT_CODE


class Exit(IntEnum):
    """Why a worker ended."""

    STOPPED = 0
    """It was told to."""
    USAGE = 64
    """It was started without a parent, or with a variable that makes no sense."""
    PARAMETERS = 65
    """argv[1] is no JSON map, or a secret is missing."""
    REFUSED = 69
    """Every broker refused it."""
    STORE = 74
    """Its store cannot be used now."""
    ORPHANED = LOST_EXIT_CODE
    """The parent is gone."""
    CONFIGURATION = 78
    """The driver refused its parameters."""

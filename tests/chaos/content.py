"""What is stored in a chaos run: bytes that say what they are, all along.

An object begins with its own name, so that a reader knows at once which version it
has, and goes on with bytes that depend on name and place: a version that is mixed with
another, cut or shifted differs from what its name demands.
"""

from __future__ import annotations

import hashlib
import random

NAME_BYTES = 32
SIZE_MIN = NAME_BYTES


def name_of(origin: str) -> bytes:
    """The first bytes of the object that was made as `origin` (path and number)."""
    return hashlib.sha256(origin.encode()).digest()


def content(origin: str, size: int) -> bytes:
    """The bytes of an object.

    Args:
        origin: path and number of the write that made it.
        size: at least `SIZE_MIN`.
    """
    name = name_of(origin)
    return name + random.Random(name).randbytes(size - len(name))

"""The limit on open files, which the default of most systems sets far too low."""

from __future__ import annotations

import resource


def raise_file_limit() -> int:
    """Use all the descriptors that the system allows; returns how many that is.

    A broker needs one for every peer, a worker one for every open stream. Nothing in
    this project uses select(2), for which a low limit once was a protection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard

"""Calls that may never end, on a thread that can be left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Hung(Exception):
    """A call did not end in time; its thread was left behind."""


def bounded(call: Callable[[], object], seconds_max: float) -> BaseException | None:
    """Call on a thread, and wait for it for so long and no longer.

    Args:
        call: what may hang.
        seconds_max: how long to wait; 0 to not wait at all.

    Returns:
        What the call raised, a `Hung`, or None when it ended well.
    """
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=guarded, name="conformance", daemon=True)
    thread.start()
    thread.join(seconds_max)
    if raised:
        return raised[0]
    if thread.is_alive():
        return Hung(f"did not end within {seconds_max:g} s")
    return None

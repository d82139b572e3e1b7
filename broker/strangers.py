"""Peers without a session that write to us: told so, but not every time. Pure."""

from __future__ import annotations

from collections import OrderedDict

from .sessions import Peer

STRANGERS_MAX = 1_000
"""Peers that are remembered for having been told."""
PAUSE_S = 1.0
"""A peer is told at most once in this time."""


class Strangers:
    """Who was told, and when."""

    def __init__(self) -> None:
        self._told: OrderedDict[Peer, float] = OrderedDict()

    def may_tell(self, peer: Peer, now: float) -> bool:
        """Whether to answer this peer now; if so, that counts as told."""
        told = self._told.get(peer)
        if told is not None and now - told < PAUSE_S:
            return False
        self._told[peer] = now
        self._told.move_to_end(peer)
        if len(self._told) > STRANGERS_MAX:
            self._told.popitem(last=False)
        return True

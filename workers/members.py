"""The children of a pool as its machine sees them, and what it can ask for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .children import Notice


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a process of the pool `name`; answer with `died` if that fails."""

    name: str
    child: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask a child to finish its work and end (SIGTERM)."""

    child: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the child's process group."""

    child: int


Action = Spawn | Terminate | Kill | Notice


class State(Enum):
    """Where a child is in its life."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    KILLED = "killed"


@dataclass(slots=True)
class Member:
    """A child process of the pool.

    Attributes:
        place: number of its place.
        state: see `State`.
        deadline: when its state has lasted too long; None for never.
        ready_at: when it became ready; None while it never was.
        fault: why the pool ends it, where that is no one's wish.
        wanted: whether its end was asked for.
    """

    place: int
    state: State
    deadline: float | None
    ready_at: float | None = None
    fault: str | None = None
    wanted: bool = False

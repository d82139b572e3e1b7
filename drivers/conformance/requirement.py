"""One requirement of the contract, and the topics that requirements come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from ..contract import Capabilities

if TYPE_CHECKING:
    from .case import Case

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

Check = Callable[["Case"], None]


class Tier(Enum):
    """How large a requirement is: `LONG` has the sizes of the registry's own suite."""

    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that every driver must do.

    Attributes:
        name: stable dotted name, such as "writer.uncommitted-is-invisible".
        sentence: what is required.
        check: raises `expect.Failure` when the driver does not do it.
        needs: capabilities without which the requirement does not apply.
        without: capabilities with which it does not apply.
        tier: whether it belongs to the short suite.
        object_bytes: largest object that it stores, in bytes.
        streams: readers and writers that it holds open at once.
    """

    name: str
    sentence: str
    check: Check
    needs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    tier: Tier = Tier.SHORT
    object_bytes: int = MIB
    streams: int = 2

    def why_left_out(self, capabilities: Capabilities, *, long: bool) -> str | None:
        """Why the requirement does not apply to a driver, or None when it does."""
        for name in self.needs:
            if not getattr(capabilities, name):
                return f"needs the capability {name}"
        for name in self.without:
            if getattr(capabilities, name):
                return f"applies only without the capability {name}"
        largest = capabilities.object_bytes_max
        if largest is not None and largest < self.object_bytes:
            return f"needs object_bytes_max {self.object_bytes}, not {largest}"
        streams = capabilities.streams_max
        if streams is not None and streams < self.streams:
            return f"needs streams_max {self.streams}, not {streams}"
        if self.tier is Tier.LONG and not long:
            return "belongs to the long tier"
        return None


class Topic:
    """The requirements about one thing, in the order they are written down.

    Args:
        name: first part of their names.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.requirements: list[Requirement] = []

    def requirement(
        self,
        *,
        needs: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
        tier: Tier = Tier.SHORT,
        object_bytes: int = MIB,
        streams: int = 2,
    ) -> Callable[[Check], Check]:
        """Decorate a check: its name names the requirement, its docstring states it.

        The parameters are the attributes of `Requirement`.
        """

        def add(check: Check) -> Check:
            self.add(
                Requirement(
                    name=f"{self.name}.{check.__name__.replace('_', '-')}",
                    sentence=" ".join((check.__doc__ or "").split()),
                    check=check,
                    needs=needs,
                    without=without,
                    tier=tier,
                    object_bytes=object_bytes,
                    streams=streams,
                )
            )
            return check

        return add

    def add(self, requirement: Requirement) -> None:
        """Add a requirement that was made from a table rather than decorated."""
        self.requirements.append(requirement)

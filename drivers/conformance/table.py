"""All requirements, and how to choose among them."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from ..errors import InvalidParameterError
from . import (
    appending,
    claims,
    concurrency,
    conflicts,
    content,
    deleting,
    identities,
    instances,
    listing,
    misuse,
    moving,
    paths,
    readers,
    redirects,
    stats,
    typed,
    uploads,
    walking,
    writers,
)
from .requirement import Requirement

TOPICS = (
    instances.topic,
    paths.topic,
    content.topic,
    writers.topic,
    misuse.topic,
    appending.topic,
    claims.topic,
    uploads.topic,
    readers.topic,
    identities.topic,
    stats.topic,
    listing.topic,
    walking.topic,
    moving.topic,
    deleting.topic,
    conflicts.topic,
    redirects.topic,
    typed.topic,
    concurrency.topic,
)

REQUIREMENTS: tuple[Requirement, ...] = tuple(
    requirement for topic in TOPICS for requirement in topic.requirements
)
"""Every requirement, in the order in which they are checked."""


def choose(only: str | Iterable[str] | None) -> tuple[Requirement, ...]:
    """The requirements that were asked for.

    Args:
        only: names, topics ("writer") or patterns ("writer.*size*"); None for all.

    Raises:
        InvalidParameterError: a name or pattern that no requirement fits.
    """
    if only is None:
        return REQUIREMENTS
    patterns = [only] if isinstance(only, str) else list(only)
    for pattern in patterns:
        if not any(_fits(requirement, pattern) for requirement in REQUIREMENTS):
            topics = ", ".join(topic.name for topic in TOPICS)
            raise InvalidParameterError(
                f"no requirement fits {pattern!r}; topics are {topics}"
            )
    return tuple(
        requirement
        for requirement in REQUIREMENTS
        if any(_fits(requirement, pattern) for pattern in patterns)
    )


def _fits(requirement: Requirement, pattern: str) -> bool:
    topic = requirement.name.partition(".")[0]
    return pattern == topic or fnmatchcase(requirement.name, pattern)

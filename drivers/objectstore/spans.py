"""An object's copy on the server, in spans that are copied several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import NamedTuple, TypeVar

from ..errors import DeadlineExceededError
from ..progress import step
from .clients import Clients

SPAN_SECONDS_MAX = 900.0

_T = TypeVar("_T")


class Span(NamedTuple):
    """Some bytes of an object.

    Attributes:
        number: of the span, from 1.
        first: offset of its first byte.
        size: bytes.
    """

    number: int
    first: int
    size: int


def spans(size: int, span_bytes: int) -> Iterator[Span]:
    """The spans of an object; all but the last have `span_bytes` bytes."""
    for number, first in enumerate(range(0, size, span_bytes), 1):
        yield Span(number, first, min(span_bytes, size - first))


def copy_spans(
    clients: Clients,
    copy: Callable[[Span], _T],
    wanted: Iterator[Span],
    at_once_max: int,
    path: str,
) -> list[_T]:
    """Copy spans, several at once; each is a step of progress.

    Args:
        clients: whose threads ask for the copies.
        copy: copies one.
        wanted: which.
        at_once_max: copies under way at once.
        path: the object concerned, for errors.

    Returns:
        What `copy` returned, in the order of the spans.

    Raises:
        StorageError: of the first copy that failed; none is under way any more.
    """
    running: dict[Future[_T], int] = {}
    made: dict[int, _T] = {}

    def collect() -> None:
        done, _ = wait(running, SPAN_SECONDS_MAX, return_when=FIRST_COMPLETED)
        if not done:
            raise DeadlineExceededError("a part of a copy took too long", path=path)
        for future in done:
            made[running.pop(future)] = future.result()
            step()

    try:
        for span in wanted:
            while len(running) >= at_once_max:
                collect()
            running[clients.submit(copy, span)] = span.number
        while running:
            collect()
    except BaseException:
        for future in running:
            future.cancel()
        wait(running, SPAN_SECONDS_MAX)
        raise
    return [made[number] for number in sorted(made)]

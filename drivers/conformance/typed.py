"""Errors: what callers, and retries, rely on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import (
    CODES,
    Executed,
    InvalidOffsetError,
    InvalidPathError,
    PathNotFoundError,
    StorageError,
    error_from_fields,
)
from . import expect
from .case import Case
from .requirement import Topic

topic = Topic("error")


def _failing(case: Case) -> dict[str, Callable[[], Any]]:
    """Calls that fail, each with a missing or impossible argument."""
    driver, missing = case.driver, case.path("missing")
    return {
        "get_content": lambda: driver.get_content(missing),
        "reader": lambda: driver.reader(missing),
        "stat": lambda: driver.stat(missing),
        "list": lambda: driver.list(missing),
        "walk": lambda: driver.walk(missing),
        "move": lambda: driver.move(missing, case.path("to")),
        "delete": lambda: driver.delete(missing),
        "put_content": lambda: driver.put_content("/not a path", b""),
        "writer": lambda: driver.writer("/not a path"),
        "reader at -1": lambda: driver.reader(missing, -1),
    }


def _raised(case: Case) -> dict[str, StorageError]:
    kinds = (PathNotFoundError, InvalidPathError, InvalidOffsetError)
    errors: dict[str, StorageError] = {}
    for name, call in _failing(case).items():
        call.__name__ = name
        errors[name] = expect.raises(kinds, call)
    return errors


@topic.requirement()
def names_the_driver(case: Case) -> None:
    """Every error names the driver, as data and in its text."""
    for name, error in _raised(case).items():
        expect.well_formed(error, name)


@topic.requirement()
def names_the_path(case: Case) -> None:
    """Every error about a path carries it, as data and in its text."""
    for name, error in _raised(case).items():
        path = error.path
        there = path is not None and path in str(error)
        expect.that(there, f"{name}: no path in {expect.shown(error)}")


@topic.requirement()
def says_that_nothing_ran(case: Case) -> None:
    """An error of a missing or impossible argument is permanent and nothing ran."""
    for name, error in _raised(case).items():
        got = (error.temporary, error.executed)
        expect.equal(got, (False, Executed.NO), f"temporary, executed of {name}")


@topic.requirement()
def has_a_stable_code(case: Case) -> None:
    """Every error travels: code and fields rebuild the same class and text."""
    for name, error in _raised(case).items():
        expect.that(error.code in CODES, f"{name}: code {error.code} is unknown")
        again = error_from_fields(error.code, error.to_fields())
        got = (type(again), str(again))
        expect.equal(got, (type(error), str(error)), f"{name}, rebuilt")

"""The drivers' pages have every parameter, with its true default and limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storagebus.drivers.azure.parameters import PARAMETERS as AZURE
from storagebus.drivers.parameters import REQUIRED, Parameter
from storagebus.drivers.s3.parameters import PARAMETERS as S3

PAGES = Path(__file__).parents[3] / "drivers"
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
INSIDE = re.compile(r"credentials\..*")
"""Told of in the row of `credentials`, and in a table of their own."""


def rows(page: str) -> dict[str, tuple[str, str]]:
    """Default and limits of each parameter, as a page has them."""
    found: dict[str, tuple[str, str]] = {}
    text = (PAGES / page).read_text()
    table = text.partition("| parameter | default | limits | meaning |\n")[2]
    for line in table.splitlines()[1:]:
        if not line.startswith("|"):
            break
        names, default, limits, meaning = map(str.strip, line.strip("|").split("|"))
        assert meaning or default.startswith("`http"), line
        for name in re.findall(r"`([^`]+)`", names):
            assert name not in found, f"{name} is there twice"
            found[name] = (default, limits)
    return found


def value(shown: str) -> int:
    number, _, unit = shown.partition(" ")
    return int(number) * UNITS[unit]


def accepted(parse: Callable[[object], Any], given: int) -> bool:
    try:
        parse(given)
    except ValueError:
        return False
    return True


CASES = [
    pytest.param(page, item, id=f"{page} {item.name}")
    for page, table in (("s3.md", S3), ("azure.md", AZURE))
    for item in table
    if not INSIDE.fullmatch(item.name)
]


@pytest.mark.parametrize(("page", "table"), [("s3.md", S3), ("azure.md", AZURE)])
def test_no_parameter_is_made_up(page: str, table: tuple[Parameter, ...]) -> None:
    assert rows(page).keys() <= {item.name for item in table}


@pytest.mark.parametrize(("page", "item"), CASES)
def test_a_parameter_is_as_its_page_says(page: str, item: Parameter) -> None:
    default, limits = rows(page)[item.name]
    if isinstance(item.default, bool):
        assert default == str(item.default).lower()
    elif isinstance(item.default, int):
        assert value(default) == item.default
    elif item.default is REQUIRED:
        assert default == "required"
    elif isinstance(item.default, str) and item.default:
        assert default == f"`{item.default}`"
    low, _, high = limits.partition(" to ")
    if high:
        top = value(high)
        assert accepted(item.parse, top) and not accepted(item.parse, top + 1)
    elif limits:
        assert limits.endswith(" up")
        low = limits.removesuffix(" up")
    if limits:
        least = value(low)
        assert accepted(item.parse, least) and not accepted(item.parse, least - 1)
    else:
        assert not isinstance(item.default, int) or isinstance(item.default, bool)

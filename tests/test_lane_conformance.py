"""The conformance suite with each kind of lane forced on, off, and failing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from call_ways import Ways
from ways import WAYS
from whole_suite import check_suite

from storagebus.client import downloads, uploads

MOVES_BYTES = ["reader", "writer", "append", "upload", "claim", "concurrent", "content"]
"""Topics in which lanes can make a difference."""
FETCHES = (
    (downloads, "fetch_file"),
    (downloads, "fetch_memory"),
    (uploads, "fetch_memory"),
)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What lanes were taken in this process."""
    taken: list[str] = []

    def watched(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def fetch(*arguments: Any, **more: Any) -> Any:
            lane = plain(*arguments, **more)
            if lane is not None:
                taken.append(name)
            return lane

        return fetch

    for module, name in FETCHES:
        monkeypatch.setattr(module, name, watched(name, getattr(module, name)))
    return taken


def check(way: str, driver: str, folder: Path) -> None:
    parameters = {"rootdirectory": str(folder)} if driver == "filesystem" else {}
    with WAYS[way](driver, parameters) as make:
        check_suite(make, only=MOVES_BYTES)


@pytest.mark.parametrize("way", ["child", "bus", "async"])
@pytest.mark.parametrize(
    ("mode", "driver", "expected"),
    [
        ("memory", "filesystem", {"fetch_memory"}),
        ("memory", "inmemory", {"fetch_memory"}),
        ("file", "filesystem", {"fetch_file"}),
        ("off", "filesystem", set()),
        ("calls", "filesystem", set()),
    ],
)
def test_forced(
    way: str,
    mode: str,
    driver: str,
    expected: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fetched: list[str],
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", mode)
    went = Ways(monkeypatch)
    check(way, driver, tmp_path)
    assert (went.direct > 20) == (mode == "calls")
    assert {*fetched} == expected
    assert not expected or len(fetched) > 20


@pytest.mark.parametrize("way", ["child", "bus", "async"])
@pytest.mark.parametrize("mode", ["memory", "file"])
def test_every_second_lane_fails(
    way: str,
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fetched: list[str],
) -> None:
    monkeypatch.setenv("STORAGEBUS_LANE", mode)
    monkeypatch.setattr("storagebus.client.lanes.NO_FILE_S", 0.0)
    turns = itertools.count()

    def failing(plain: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *a, **m: None if next(turns) % 2 else plain(*a, **m)

    for module, name in FETCHES:
        monkeypatch.setattr(module, name, failing(getattr(module, name)))
    check(way, "filesystem", tmp_path)
    assert len(fetched) > 10

"""conf/obituaries.py, and a whole bus that meets a call which ends every worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import ACME, Programs
from running_bus import running_bus

from storagebus.client import Client
from storagebus.conf.obituaries import Obituaries
from storagebus.drivers.errors import PoisonRequestError, UnavailableError
from storagebus.workers.children import ChildEnded, ChildStarted, Ending


class Listener:
    """A client that is told; it may fail."""

    def __init__(self, fails: bool = False) -> None:
        self.told: list[tuple[str, bool]] = []
        self.heard = threading.Event()
        self._fails = fails

    def report_ending(self, cookie: str, *, crashed: bool) -> None:
        if self._fails:
            raise UnavailableError("no broker")
        self.told.append((cookie, crashed))
        if cookie == "last":
            self.heard.set()


def ended(expected: bool = False, **ending: object) -> ChildEnded:
    return ChildEnded("p", 1, Ending(**ending), expected, True, "")  # type: ignore[arg-type]


def test_every_broker_is_told_of_every_end_that_nobody_asked_for() -> None:
    deaf, listener = Listener(fails=True), Listener()
    obituaries = Obituaries([deaf, listener])  # type: ignore[list-item]
    try:
        for notice in (
            ChildStarted("p", 1, 2),
            ended(signal=11, cookie="segv"),
            ended(signal=9, cookie="killed"),
            ended(expected=True, code=0, cookie="asked"),
            ended(code=0, cookie="drained"),
            ended(code=3, cookie="exit"),
            ended(error="could not be started", cookie="never"),
            ended(code=1, cookie="last"),
        ):
            obituaries.on_change(notice)
        assert listener.heard.wait(20)
    finally:
        obituaries.close()
    assert listener.told == [
        ("segv", True),
        ("killed", False),
        ("exit", True),
        ("never", False),
        ("last", True),
    ]


@pytest.mark.slow
def test_a_call_that_ends_worker_after_worker_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(tmp_path)
    programs.add("acme", ACME)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    root = {"rootdirectory": str(tmp_path / "store")}
    with (
        running_bus("acme", root) as endpoint,
        Client(endpoint, deadline=30.0) as client,
    ):
        client.put_content("/a", b"1")
        calls: list[Callable[[], None]] = [lambda: client.move("/a", "/fatal/b")]
        for call in calls * 2:
            with pytest.raises(PoisonRequestError):
                call()
        counters = client.bus_status()["broker"]["counters"]
        assert 3 <= counters["workers_crashed"] <= 4
        assert counters["poisoned"] == 2
        assert client.get_content("/a") == b"1"

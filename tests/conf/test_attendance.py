import os
from typing import Any

import pytest

from storagebus.conf.attendance import Attendance
from storagebus.conf.schema import Configuration, Service
from storagebus.drivers.errors import (
    AccessDeniedError,
    InvalidParameterError,
    StorageError,
    UnavailableError,
)
from storagebus.workers.children import ChildEnded, ChildReady, ChildStarted, Ending
from storagebus.workers.manager import ChildStatus
from storagebus.workers.members import State

POOL = "worker files"
CONFIGURATION = Configuration(services={"files": Service("files", "filesystem")})


class Bus:
    """What manager and broker would say, and what the manager was told."""

    def __init__(self) -> None:
        self.children: list[ChildStatus] = []
        self.pids: list[int] = []
        self.reasons: dict[str, str] = {}
        self.marked: list[int] = []
        self.error: StorageError | None = None
        self.during: Any = None

    def status(self) -> tuple[ChildStatus, ...]:
        return tuple(self.children)

    def gave_up(self, name: str) -> str | None:
        return self.reasons.get(name)

    def mark_ready(self, child: int) -> None:
        self.marked.append(child)

    def bus_status(self) -> dict[str, Any]:
        if self.during is not None:
            self.during()
        if self.error is not None:
            raise self.error
        workers = [{"id": "x", "pid": pid, "state": "ready"} for pid in self.pids]
        return {"services": {"files": {"workers": workers}}}


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def attendance(bus: Bus) -> Attendance:
    client: Any = bus
    return Attendance(client, CONFIGURATION)


def look(attendance: Attendance, bus: Bus) -> None:
    manager: Any = bus
    attendance.look(manager)


def test_the_broker_is_ready_when_the_manager_heard_so(
    attendance: Attendance, bus: Bus
) -> None:
    manager: Any = bus
    assert not attendance.broker_is_ready(manager)
    attendance.on_change(ChildReady(POOL, 2))
    assert not attendance.broker_is_ready(manager)
    attendance.on_change(ChildReady("broker", 1))
    assert attendance.broker_is_ready(manager)


def test_a_worker_is_ready_when_the_broker_has_it(
    attendance: Attendance, bus: Bus
) -> None:
    group = os.getpgid(0)
    bus.children = [
        ChildStatus(POOL, 7, group, State.STARTING),
        ChildStatus("broker", 1, 1, State.READY),
    ]
    look(attendance, bus)
    assert (bus.marked, attendance.complete, attendance.waits) == ([], False, True)
    # This process stands for a worker that a wrapper script has started.
    bus.pids = [os.getpid()]
    look(attendance, bus)
    assert (bus.marked, attendance.complete, attendance.waits) == ([7], True, False)


def test_nobody_is_asked_when_nobody_is_awaited(
    attendance: Attendance, bus: Bus
) -> None:
    bus.pids = [os.getpid()]
    look(attendance, bus)
    bus.during = lambda: pytest.fail("asked")
    look(attendance, bus)
    bus.during = None
    for notice in (
        ChildStarted(POOL, 8, 1),
        ChildEnded(POOL, 8, Ending(code=1), False, True, ""),
    ):
        attendance.on_change(notice)
        assert attendance.waits


def test_news_during_a_look_leads_to_another(attendance: Attendance, bus: Bus) -> None:
    bus.pids = [os.getpid()]
    bus.during = lambda: attendance.on_change(ChildStarted(POOL, 8, 1))
    look(attendance, bus)
    assert attendance.waits


def test_a_broker_that_is_away_is_asked_again(attendance: Attendance, bus: Bus) -> None:
    bus.error = UnavailableError()
    look(attendance, bus)
    assert attendance.waits
    assert not attendance.complete


@pytest.mark.parametrize(
    ("code", "line", "error", "words"),
    [
        (
            4,
            "storagebus: invalid parameter: no such region",
            InvalidParameterError,
            "invalid parameter: worker files: no such region",
        ),
        (
            5,
            "storagebus: access denied: /x",
            AccessDeniedError,
            "access denied: worker files: /x",
        ),
        (
            7,
            "storagebus: unavailable: in use",
            UnavailableError,
            "unavailable: worker files: in use",
        ),
        (
            3,
            "ValueError: no bucket",
            UnavailableError,
            "unavailable: worker files: exited with code 3 before it was ready: "
            "ValueError: no bucket; --log-level info shows all that it writes",
        ),
        (
            3,
            "",
            UnavailableError,
            "unavailable: worker files: exited with code 3 before it was ready; "
            "--log-level info shows all that it writes",
        ),
        (
            78,
            "registry-storage-acme: no bucket",
            InvalidParameterError,
            "invalid parameter: worker files: exited with code 78 before it was "
            "ready: registry-storage-acme: no bucket",
        ),
    ],
)
def test_why_a_process_does_not_come(
    attendance: Attendance,
    bus: Bus,
    code: int,
    line: str,
    error: type[StorageError],
    words: str,
) -> None:
    bus.reasons[POOL] = "the manager's reason"
    ending = Ending(code=code, tail=("first", line))
    what = ending.describe()
    attendance.on_change(ChildEnded(POOL, 8, ending, False, False, what))
    with pytest.raises(error) as caught:
        look(attendance, bus)
    assert type(caught.value) is error
    assert str(caught.value) == words

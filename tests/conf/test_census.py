"""conf/census.py: several brokers' statuses as one, and who is silent."""

from __future__ import annotations

from typing import Any

import pytest

from storagebus.conf.census import SILENT_ASKS, Census, merged
from storagebus.drivers.errors import StorageError, UnavailableError


def status(*workers: dict[str, Any], waiting: int = 0) -> dict[str, Any]:
    service = {
        "workers": list(workers),
        "workers_total": len(workers),
        "calls": sum(worker["calls"] for worker in workers),
        "streams": 0,
        "slots": 4 * len(workers),
        "waiting": waiting,
    }
    return {"broker": {"id": "b"}, "services": {"files": service}}


def worker(pid: int, **facts: Any) -> dict[str, Any]:
    return {"id": f"{pid}-x", "pid": pid, "calls": 0, "state": "ready"} | facts


class Broker:
    """What one broker says, or that it says nothing."""

    def __init__(self, says: dict[str, Any] | None) -> None:
        self.says = says

    def bus_status(self) -> dict[str, Any]:
        if self.says is None:
            raise UnavailableError("silence")
        return self.says


def census(*brokers: Broker) -> Census:
    return Census(brokers)  # type: ignore[arg-type]


def test_one_broker_is_quoted() -> None:
    said = status(worker(1))
    assert census(Broker(said)).bus_status() == said


def test_a_worker_is_there_when_all_have_it_and_alive_when_one_hears_it() -> None:
    first = status(
        worker(1, heard_s=9.0, stuck_s=0.0, calls=2, state="suspect"), worker(2)
    )
    second = status(worker(1, heard_s=0.1, stuck_s=3.0, calls=1), waiting=5)
    files = merged([first, second])["services"]["files"]
    (one,) = files["workers"]
    assert (one["pid"], one["heard_s"], one["stuck_s"]) == (1, 0.1, 3.0)
    assert (one["calls"], one["state"]) == (3, "suspect")
    assert files["workers_total"] == 1
    assert (files["calls"], files["slots"], files["waiting"]) == (3, 12, 5)


def test_a_service_that_one_does_not_know_has_nobody() -> None:
    found = merged([status(worker(1)), {"broker": {}, "services": {}}])
    assert found["services"]["files"]["workers"] == []


def test_who_does_not_answer_is_left_out_and_noted() -> None:
    deaf = Broker(None)
    asking = census(deaf, Broker(status(worker(1))))
    for _ in range(SILENT_ASKS):
        assert asking.silent_s() == {}
        assert asking.bus_status()["services"]["files"]["workers"]
    assert list(asking.silent_s()) == [0]
    asking.forgive(0)
    assert asking.silent_s() == {}
    for _ in range(SILENT_ASKS):
        asking.bus_status()
    deaf.says = status(worker(1))
    asking.bus_status()
    assert asking.silent_s() == {}


def test_when_nobody_answers_that_is_the_error() -> None:
    with pytest.raises(StorageError, match="silence"):
        census(Broker(None), Broker(None)).bus_status()

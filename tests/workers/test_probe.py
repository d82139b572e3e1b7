"""Whether a store can be used: what counts as an answer, and a driver that hangs."""

from __future__ import annotations

import threading
import time

import pytest

from storagebus.drivers import FileInfo, StorageDriver, create, errors
from storagebus.drivers.inmemory import InMemoryDriver
from storagebus.workers.exits import Exit
from storagebus.workers.lifeline import LIFELINE_VARIABLE
from storagebus.workers.probe import Probe
from storagebus.workers.worker import await_store


class Store(InMemoryDriver):
    """Fails as it is told to."""

    failures: list[Exception]
    hangs: threading.Event | None = None
    asked = 0

    def stat(self, path: str) -> FileInfo:
        self.asked += 1
        if self.hangs is not None:
            self.hangs.wait(30)
        if self.failures:
            raise self.failures.pop(0)
        return super().stat(path)


def store(*failures: Exception) -> Store:
    made = Store()
    made.failures = list(failures)
    return made


@pytest.mark.parametrize("name", ["inmemory", "filesystem"])
def test_a_store_that_works_can_be_used(name: str, tmp_path: object) -> None:
    given = {"rootdirectory": str(tmp_path)} if name == "filesystem" else {}
    with create(name, given) as driver:
        assert Probe(driver).ask() is None


@pytest.mark.parametrize(
    "error",
    [
        errors.UnavailableError("no bucket", temporary=False),
        errors.AccessDeniedError("wrong keys"),
        errors.DeadlineExceededError("too slow"),
        errors.InvalidParameterError("the bucket is elsewhere"),
    ],
)
def test_what_keeps_it_from_working(error: errors.StorageError) -> None:
    assert Probe(store(error)).ask() is error


@pytest.mark.parametrize(
    "error",
    [errors.PathNotFoundError(), errors.ThrottledError(), ValueError("a fault")],
)
def test_an_answer_of_any_other_kind_shows_that_somebody_answers(
    error: Exception,
) -> None:
    assert Probe(store(error)).ask() is None


def test_a_driver_that_hangs_is_asked_once() -> None:
    driver = store()
    driver.hangs = threading.Event()
    probe, before = Probe(driver), threading.active_count()
    for _ in range(3):
        assert isinstance(probe.ask(0.02), errors.DeadlineExceededError)
    assert (driver.asked, threading.active_count()) == (1, before + 1)
    driver.hangs.set()
    assert probe.ask() is None
    assert probe.ask() is None
    assert driver.asked == 2


def test_a_process_of_a_manager_ends_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(LIFELINE_VARIABLE, "3")
    with pytest.raises(SystemExit) as caught:
        await_store(store(errors.UnavailableError("no bucket")))
    assert caught.value.code == Exit.STORE
    said = "storagebus: the store cannot be used: unavailable: no bucket\n"
    assert capsys.readouterr().err == said


def test_a_process_on_its_own_waits_and_says_why_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(LIFELINE_VARIABLE, raising=False)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    gone = [errors.UnavailableError("no bucket") for _ in range(6)]
    driver: StorageDriver = store(*gone, errors.AccessDeniedError("wrong keys"))
    await_store(driver)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert [record.getMessage() for record in caplog.records] == [
        "the store cannot be used: unavailable: no bucket; it is asked again",
        "the store cannot be used: access denied: wrong keys; it is asked again",
    ]

"""Deadlines, leftovers, and what the suite does to the store and the driver."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from storagebus.drivers import StorageDriver, conformance
from storagebus.drivers.checked import Checked
from storagebus.drivers.conformance import (
    Outcome,
    Requirement,
    Result,
    Session,
    Tier,
)
from storagebus.drivers.conformance.case import TOP_PREFIX, Case
from storagebus.drivers.conformance.session import HANGS_MAX
from storagebus.drivers.contract import Capabilities
from storagebus.drivers.errors import (
    InvalidParameterError,
    StorageError,
    UnavailableError,
)
from storagebus.drivers.inmemory import InMemoryDriver

Check = Callable[[Case], None]
FOREVER = threading.Event()


class Shared:
    """Makes instances that all stand for one store, and counts their closing."""

    def __init__(self) -> None:
        self.store = InMemoryDriver()
        self.closed = 0

    def __call__(self) -> StorageDriver:
        shared = self

        class Instance(Checked):
            def close(self) -> None:
                shared.closed += 1

        return Instance(shared.store)


def requirement(check: Check, name: str = "test.one", **more: Any) -> Requirement:
    return Requirement(name, "It works.", check, **more)


def run(check: Check, make_driver: Callable[[], StorageDriver]) -> Result:
    session = Session(make_driver, seed="1", seconds_max=dict.fromkeys(Tier, 10.0))
    try:
        return session.check(requirement(check))
    finally:
        session.close()


def test_a_check_that_returns_has_passed() -> None:
    result = run(lambda case: None, Shared())
    assert (result.outcome, result.reason) == (Outcome.PASSED, "")


def test_an_unexpected_error_says_where_and_what() -> None:
    def check(case: Case) -> None:
        case.holds(case.path("missing"), b"")

    result = run(check, Shared())
    assert result.outcome is Outcome.FAILED
    assert "case.py:" in result.reason
    assert "unexpected PathNotFoundError: inmemory: path not found" in result.reason, (
        result.reason
    )


def test_what_a_check_stores_is_removed_even_when_it_fails() -> None:
    make_driver = Shared()

    def check(case: Case) -> None:
        case.put(case.path("a", "b"))
        case.writer(case.path("c")).write(b"never closed")
        raise ValueError("on purpose")

    result = run(check, make_driver)
    assert "unexpected ValueError: on purpose" in result.reason
    assert make_driver.store.list("/") == []


def test_a_store_that_cannot_be_tidied_fails_the_requirement() -> None:
    class Sticky(Checked):
        def delete(self, path: str) -> None:
            super().move(f"{path}/object", f"{path}-rubbish")

    def check(case: Case) -> None:
        case.put(case.path("object"))

    result = run(check, lambda: Sticky(InMemoryDriver()))
    assert result.outcome is Outcome.FAILED
    assert "rubbish" in result.reason


def test_a_check_that_hangs_fails_and_the_next_gets_a_new_driver() -> None:
    make_driver = Shared()
    drivers = []

    def hang(case: Case) -> None:
        drivers.append(case.driver)
        case.put(case.path("object"))
        FOREVER.wait()

    session = Session(make_driver, seed="1", seconds_max=dict.fromkeys(Tier, 0.2))
    result = session.check(requirement(hang))
    assert (result.outcome, result.reason) == (
        Outcome.FAILED,
        "did not end within 0.2 s",
    )
    assert make_driver.store.list("/") == []

    def look(case: Case) -> None:
        drivers.append(case.driver)

    assert session.check(requirement(look)).outcome is Outcome.PASSED
    assert drivers[0] is not drivers[1]
    assert session.close() is None


def test_after_a_few_hangs_the_rest_is_failed_untried() -> None:
    tried = []

    def hang(case: Case) -> None:
        tried.append(case)
        FOREVER.wait()

    session = Session(Shared(), seed="1", seconds_max=dict.fromkeys(Tier, 0.05))
    results = list(session.run([requirement(hang)] * (HANGS_MAX + 2)))
    assert [result.outcome for result in results] == [Outcome.FAILED] * len(results)
    assert len(tried) == HANGS_MAX
    assert results[-1].reason == f"not tried: {HANGS_MAX} requirements did not end"


def test_a_driver_that_cannot_be_made_again_ends_the_trying() -> None:
    made = []

    def make_driver() -> StorageDriver:
        if made:
            raise UnavailableError("gone")
        made.append(1)
        return Checked(InMemoryDriver())

    session = Session(make_driver, seed="1", seconds_max=dict.fromkeys(Tier, 0.05))
    hang, never = (
        requirement(lambda case: FOREVER.wait() and None),  # type: ignore[arg-type]
        requirement(lambda case: None),
    )
    assert session.check(hang).outcome is Outcome.FAILED
    result = session.check(never)
    assert result.outcome is Outcome.FAILED
    assert "unavailable: gone" in result.reason


def test_a_driver_that_fails_to_close_is_a_failure_of_its_own() -> None:
    class Unclosable(Checked):
        def close(self) -> None:
            raise StorageError("still busy")

    report = conformance.in_process(
        lambda: Unclosable(InMemoryDriver()), only="content.one-byte"
    )
    assert [result.name for result in report.failed] == ["driver.ends"]
    assert "still busy" in report.failed[0].reason


def test_every_instance_is_closed() -> None:
    make_driver = Shared()
    made = []

    def counted() -> StorageDriver:
        made.append(1)
        return make_driver()

    assert conformance.in_process(counted, only="driver").ok
    assert make_driver.closed >= len(made) > 1


def test_the_same_driver_twice_is_an_error_that_says_so() -> None:
    driver = Checked(InMemoryDriver())
    report = conformance.in_process(lambda: driver, only="driver.closes-twice")
    assert "make_driver returned the same driver twice" in report.failed[0].reason


def test_errors_of_making_the_driver_are_not_hidden() -> None:
    def make_driver() -> StorageDriver:
        raise InvalidParameterError("rootdirectory is missing")

    with pytest.raises(InvalidParameterError, match="rootdirectory"):
        conformance.in_process(make_driver)


def test_drivers_come_behind_their_checks_once() -> None:
    seen = []

    def watch(make_driver: Callable[[], StorageDriver]) -> None:
        def noting() -> StorageDriver:
            driver = make_driver()
            seen.append(driver)
            return driver

        assert conformance.in_process(noting, only="paths.invalid-for-stat").ok

    watch(InMemoryDriver)
    watch(lambda: Checked(InMemoryDriver()))
    assert [type(driver) for driver in seen] == [InMemoryDriver, Checked]


@pytest.mark.parametrize(
    ("capabilities", "more", "reason"),
    [
        (Capabilities(), {"needs": ("resume",)}, "needs the capability resume"),
        (
            Capabilities(nested_objects=True),
            {"without": ("nested_objects",)},
            "applies only without the capability nested_objects",
        ),
        (
            Capabilities(object_bytes_max=10),
            {"object_bytes": 11},
            "needs object_bytes_max 11, not 10",
        ),
        (Capabilities(streams_max=3), {"streams": 4}, "needs streams_max 4, not 3"),
        (Capabilities(), {"tier": Tier.LONG}, "belongs to the long tier"),
    ],
)
def test_what_does_not_apply_is_left_out_with_its_reason(
    capabilities: Capabilities, more: dict[str, Any], reason: str
) -> None:
    def check(case: Case) -> None:
        raise AssertionError("must not be tried")

    driver = InMemoryDriver()
    driver.capabilities = capabilities
    session = Session(lambda: driver, seed="1")
    result = session.check(requirement(check, **more))
    assert (result.outcome, result.reason) == (Outcome.LEFT_OUT, reason)


def test_the_store_may_hold_other_objects_and_have_other_users() -> None:
    make_driver = Shared()
    others = {f"/{name}": name.encode() for name in ("aaa", "mine", "zzz")}
    others |= {f"{TOP_PREFIX}of-another/x": b"x", "/docker/registry/v2": b"y"}
    for path, data in others.items():
        make_driver.store.put_content(path, data)
    reports = []

    def suite() -> None:
        reports.append(conformance.in_process(make_driver))

    threads = [threading.Thread(target=suite) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for report in reports:
        assert report.ok, str(report)
    left = [info.path for info in make_driver.store.walk("/") if not info.is_dir]
    assert left == sorted(others)
    for path, data in others.items():
        assert make_driver.store.get_content(path) == data


def test_one_seed_gives_the_same_content_again() -> None:
    contents = []

    def check(case: Case) -> None:
        contents.append((case.data(), case.data(), case.random.random()))

    for seed in ("1", "1", "2"):
        Session(Shared(), seed=seed).check(requirement(check))
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[0][1]
    assert contents[0] != contents[2]


def test_threads_of_a_check_pass_on_results_and_errors() -> None:
    def check(case: Case) -> None:
        assert case.together([lambda: 1, lambda: 2]) == [1, 2]

        def fail() -> int:
            raise ValueError("on a thread")

        case.together([lambda: 1, fail])

    assert "unexpected ValueError: on a thread" in run(check, Shared()).reason

"""What an operation stands on: its session, its caller, its time."""

from __future__ import annotations

import threading
import time
from math import inf
from pathlib import Path

import pytest

from storagebus.drivers import create
from storagebus.drivers.errors import (
    CancelledError,
    DeadlineExceededError,
    Executed,
    PathNotFoundError,
    UnavailableError,
)
from storagebus.drivers.standing import (
    LEASE_S,
    Lease,
    Standing,
    check_standing,
    lease_s,
    remaining_s,
    standing_on,
)


def test_a_lease_is_good_while_the_other_side_is_heard() -> None:
    lease = Lease(100.0)
    standing = Standing(lease)
    assert standing.objection(100.0 + LEASE_S) is None
    assert lease.renewed(102.0) is lease
    assert standing.objection(102.0 + LEASE_S) is None
    error = standing.objection(102.1 + LEASE_S)
    assert isinstance(error, UnavailableError)
    assert (error.executed, error.temporary) == (Executed.NO, True)


def test_a_lease_that_has_run_out_stays_so_and_the_next_is_another() -> None:
    lease = Lease(100.0)
    another = lease.renewed(104.0)
    assert another is not lease
    assert Standing(lease).objection(104.0) is not None
    assert Standing(another).objection(104.0) is None


def test_brokers_that_are_seldom_heard_are_given_longer() -> None:
    assert lease_s(0.05) == lease_s(1.0) == LEASE_S
    assert lease_s(10.0) == 21.0


def test_who_is_revoked_is_told_why() -> None:
    standing = Standing(Lease(100.0))
    standing.revoke(CancelledError("given up"))
    assert isinstance(standing.objection(100.0), CancelledError)


def test_time_that_has_run_out() -> None:
    standing = Standing(Lease(100.0), expires=101.0)
    assert standing.objection(100.9) is None
    error = standing.objection(101.0)
    assert isinstance(error, DeadlineExceededError)
    assert error.executed is Executed.NO


def test_it_is_of_one_thread_and_one_operation() -> None:
    check_standing()
    lost = Standing(Lease(-inf))
    with standing_on(lost):
        with pytest.raises(UnavailableError):
            check_standing()
        with standing_on(None):
            check_standing()
        thread = threading.Thread(target=check_standing)
        thread.start()
        thread.join()
        with pytest.raises(UnavailableError):
            check_standing()
    check_standing()


def test_what_was_let_through_before_may_have_had_an_effect() -> None:
    standing = Standing(Lease(time.monotonic()))
    with standing_on(standing):
        check_standing()
        standing.revoke(CancelledError("given up", executed=Executed.NO))
        with pytest.raises(CancelledError) as caught:
            check_standing()
    assert caught.value.executed is Executed.MAYBE


def test_what_is_left_of_the_time() -> None:
    assert remaining_s() == inf
    with standing_on(Standing(Lease(inf))):
        assert remaining_s() == inf
    with standing_on(Standing(Lease(inf), expires=time.monotonic() + 5)):
        assert 4 < remaining_s() <= 5


@pytest.mark.parametrize("driver", ["filesystem", "inmemory"])
def test_what_has_lost_it_changes_nothing(driver: str, tmp_path: Path) -> None:
    given = {"rootdirectory": str(tmp_path)} if driver == "filesystem" else {}
    lost = Standing(Lease(time.monotonic() - 60))
    with create(driver, given) as store:
        store.put_content("/a", b"old")
        with standing_on(lost):
            for change in (
                lambda: store.put_content("/a", b"new"),
                lambda: store.put_content("/b/c", b"new"),
                lambda: store.move("/a", "/b"),
                lambda: store.delete("/a"),
            ):
                with pytest.raises(UnavailableError) as caught:
                    change()
                assert caught.value.executed is Executed.NO
        assert store.list("/") == ["/a"]
        assert store.get_content("/a") == b"old"
        with pytest.raises(PathNotFoundError):
            store.stat("/b")
    if driver == "filesystem":
        assert not list((tmp_path / "~uploads").glob("~*.put"))
        assert not (tmp_path / "b").exists()

"""What the manager shows to other threads, and who waits on it."""

import threading

import pytest

from storagebus.drivers.errors import DeadlineExceededError, UnavailableError
from storagebus.workers.board import Board, ChildStatus
from storagebus.workers.members import State


def test_a_wait_ends_when_nothing_is_missing() -> None:
    board, status = Board(), ChildStatus("acme", 1, 4711, State.READY)
    board.expect("acme")
    board.expect("other")
    done = threading.Event()

    def wait() -> None:
        board.wait_ready(10, "acme")
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not done.wait(0.05)
    board.publish((status,), {"other": "0 of 1 are ready"}, {})
    thread.join(20)
    assert done.is_set()
    assert board.statuses == (status,)


def test_a_wait_says_what_is_missing_or_why_it_never_will_be_there() -> None:
    board = Board()
    board.publish((), {"acme": "1 of 2 are ready"}, {})
    with pytest.raises(DeadlineExceededError, match="acme: 1 of 2 are ready"):
        board.wait_ready(0, None)
    board.publish((), {"acme": "0 of 2 are ready"}, {"acme": "the disk is bad"})
    with pytest.raises(UnavailableError, match="the disk is bad"):
        board.wait_ready(10, None)


def test_closing_wakes_who_waits_and_ends_all_cookies() -> None:
    board, errors = Board(), list[Exception]()
    board.expect("acme")
    board.issue("c00kie", 7)

    def wait() -> None:
        try:
            board.wait_ready(10, None)
        except UnavailableError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    board.close()
    thread.join(20)
    assert "was stopped" in str(errors)
    assert board.claim("c00kie", b"boot") is None


def test_a_cookie_is_for_one_boot_id() -> None:
    board = Board()
    board.issue("c00kie", 7)
    assert board.claim("c00kie", b"one") == 7
    assert board.claim("c00kie", b"two") is None
    assert board.claim("c00kie", b"one") == 7
    board.revoke("c00kie")
    board.revoke("c00kie")
    assert board.claim("c00kie", b"one") is None

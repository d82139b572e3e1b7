"""Rows of error tables."""

from __future__ import annotations

import pytest

from storagebus.drivers.errors import Executed, ThrottledError, UnavailableError
from storagebus.drivers.objectstore.meanings import Meaning, with_path


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("-1", 0.0),
        ("1e9", 3600.0),
        ("soon", None),
    ],
)
def test_when_to_retry_is_passed_on_within_a_bound(
    said: str | None, seconds: float | None
) -> None:
    assert Meaning(ThrottledError).error("x", "/a", said).retry_after_s == seconds


def test_what_is_not_said_is_the_classs() -> None:
    error = Meaning(UnavailableError).error("status 500", "/a")
    assert (error.temporary, error.executed) == (True, Executed.MAYBE)
    meaning = Meaning(UnavailableError, "renew it", False, Executed.NO)
    error = meaning.error("Expired", None)
    assert (error.temporary, error.executed) == (False, Executed.NO)
    assert error.detail == "renew it (Expired)"


def test_a_path_that_is_known_stays() -> None:
    error = UnavailableError()
    assert with_path(error, "/a") is error and error.path == "/a"
    assert with_path(error, "/b").path == "/a"

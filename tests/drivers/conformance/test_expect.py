"""Expectations: each holds for what is right and says what came instead."""

from __future__ import annotations

import pytest

from storagebus.drivers.conformance import expect
from storagebus.drivers.errors import (
    InvalidOffsetError,
    InvalidPathError,
    PathNotFoundError,
    StorageError,
)


def fail_with(error: Exception) -> object:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


def raises(error: Exception, **more: object) -> StorageError:
    call = fail_with(error)
    assert callable(call)
    return expect.raises(PathNotFoundError, call, "/a", **more)  # type: ignore[arg-type]


def test_the_right_error_is_returned() -> None:
    error = PathNotFoundError(path="/a", driver="acme")
    assert raises(error, path="/a") is error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (InvalidPathError(path="/a", driver="acme"), "got InvalidPathError: acme"),
        (KeyError("/a"), "expected PathNotFoundError, got KeyError"),
        (PathNotFoundError(path="/b", driver="acme"), "expected '/a', got '/b'"),
        (PathNotFoundError(path="/a"), "does not name the driver"),
    ],
)
def test_a_wrong_error_is_described(error: Exception, says: str) -> None:
    with pytest.raises(expect.Failure, match=says):
        raises(error, path="/a")


def test_a_wrong_offset_is_described() -> None:
    call = fail_with(InvalidOffsetError(path="/a", offset=-2, driver="acme"))
    assert callable(call)
    with pytest.raises(expect.Failure, match="expected -1, got -2"):
        expect.raises(InvalidOffsetError, call, "/a", -1, offset=-1)


def test_no_error_is_described_and_its_result_closed() -> None:
    class Stream:
        closed = False

        def close(self) -> None:
            self.closed = True

    stream = Stream()
    with pytest.raises(expect.Failure, match="got no error"):
        expect.raises(StorageError, lambda: stream)
    assert stream.closed


@pytest.mark.parametrize(
    ("field", "value"), [("temporary", None), ("executed", "no"), ("driver", "")]
)
def test_malformed_errors_are_failures(field: str, value: object) -> None:
    error = PathNotFoundError(path="/a", driver="acme")
    setattr(error, field, value)
    with pytest.raises(expect.Failure):
        raises(error)


def test_classes_outside_the_table_are_failures() -> None:
    class OwnError(PathNotFoundError):
        pass

    with pytest.raises(expect.Failure, match="OwnError is not a class of"):
        raises(OwnError(path="/a", driver="acme"))


def test_shown_values_are_short_and_on_one_line() -> None:
    text = expect.shown("line\nbreak " * 100)
    assert len(text) == expect.SHOWN_CHARACTERS_MAX
    assert "\n" not in expect.shown(ValueError("a\nb"))
    assert expect.shown(ValueError("a\nb")) == "a b"


def test_content_must_be_bytes() -> None:
    with pytest.raises(expect.Failure, match="expected bytes, got bytearray"):
        expect.content(bytearray(b"a"), b"a", "it")

"""drivers/arguments.py: what is let through, and the typed error of what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from storagebus.drivers import arguments
from storagebus.drivers.errors import (
    InvalidOffsetError,
    InvalidParameterError,
    InvalidPathError,
    StorageError,
)


@pytest.mark.parametrize(
    ("check", "error"),
    [
        (lambda: arguments.check_bytes("text"), InvalidParameterError),
        (lambda: arguments.check_bytes(None), InvalidParameterError),
        (lambda: arguments.check_offset("/a", True, "offset"), InvalidOffsetError),
        (lambda: arguments.check_offset("/a", -1, "offset"), InvalidOffsetError),
        (lambda: arguments.check_flag("/a", 1, "append"), InvalidParameterError),
        (lambda: arguments.check_expires(0), InvalidParameterError),
        (lambda: arguments.check_upload_id(""), InvalidParameterError),
        (lambda: arguments.check_identity("/a", 7), InvalidParameterError),
        (lambda: arguments.check_start_after("a"), InvalidPathError),
        (lambda: arguments.check_parameters({1: "x"}), InvalidParameterError),
        (lambda: arguments.check_parameters([]), InvalidParameterError),
    ],
)
def test_what_is_wrong_is_a_typed_error(
    check: Callable[[], Any], error: type[StorageError]
) -> None:
    with pytest.raises(error):
        check()


def test_what_is_right_is_let_through() -> None:
    arguments.check_offset("/a", 10**30, "offset")
    arguments.check_flag("/a", False, "append")
    arguments.check_expires(arguments.EXPIRES_SECONDS_MAX)
    arguments.check_identity("/a", "")
    assert arguments.check_upload_id("x" * 256) == "x" * 256
    assert arguments.check_start_after("/a/") == "/a/"
    assert arguments.check_parameters({"a": 1}) == {"a": 1}
    assert arguments.check_bytes(memoryview(bytes(4)).cast("I")) == bytes(4)

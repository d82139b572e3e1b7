"""Operating-system errors become typed ones, without names of the worker's disk."""

from __future__ import annotations

import errno

import pytest

from storagebus.drivers.errors import (
    AccessDeniedError,
    PathNotFoundError,
    StorageError,
    StorageFullError,
)
from storagebus.drivers.oserrors import BY_ERRNO, OSErrors, from_os_error


@pytest.mark.parametrize("number", BY_ERRNO)
def test_each_known_number_has_its_class(number: int) -> None:
    error = from_os_error(OSError(number, "words", "/srv/secret/place"), "/a")
    assert type(error) is BY_ERRNO[number]
    assert error.path == "/a"
    assert errno.errorcode[number] in str(error)
    assert "/srv" not in str(error)


@pytest.mark.parametrize(
    ("number", "cls"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EROFS, AccessDeniedError),
        (errno.ENOENT, PathNotFoundError),
        (errno.ENOTTY, StorageError),
    ],
)
def test_classes_that_operators_rely_on(number: int, cls: type[StorageError]) -> None:
    assert type(from_os_error(OSError(number, "words"))) is cls


def test_an_error_without_a_number_keeps_its_words() -> None:
    assert "went wrong" in str(from_os_error(OSError("went wrong")))


def test_the_block_maps_system_errors_and_lets_others_through() -> None:
    with pytest.raises(StorageFullError) as caught, OSErrors("/a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.path == "/a"
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(KeyError), OSErrors("/a"):
        raise KeyError("other")
    with OSErrors(None):
        pass

import pytest

from storagebus.conf.exits import BY_CLASS, exit_code
from storagebus.drivers import errors
from storagebus.drivers.errors import CODES, StorageError


def test_every_class_of_error_has_an_exit_code() -> None:
    assert set(BY_CLASS) == set(CODES.values())
    assert set(BY_CLASS.values()) <= {1, 3, 4, 5, 6, 7, 8, 9}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StorageError, 1),
        (errors.PathNotFoundError, 3),
        (errors.InvalidPathError, 4),
        (errors.InvalidOffsetError, 4),
        (errors.InvalidParameterError, 4),
        (errors.InvalidStorageDriverError, 4),
        (errors.AccessDeniedError, 5),
        (errors.StorageFullError, 6),
        (errors.QuotaExceededError, 6),
        (errors.ThrottledError, 6),
        (errors.UnavailableError, 7),
        (errors.UnknownServiceError, 7),
        (errors.WorkerLostError, 7),
        (errors.DeadlineExceededError, 8),
        (errors.DataLossError, 9),
        (errors.PreconditionError, 9),
    ],
)
def test_the_codes_that_scripts_rely_on(error: type[StorageError], code: int) -> None:
    assert exit_code(error("x")) == code


def test_a_class_of_somebody_else_has_the_code_of_its_base() -> None:
    class Special(errors.AccessDeniedError):
        pass

    class Own(StorageError):
        pass

    assert exit_code(Special()) == 5
    assert exit_code(Own()) == 1

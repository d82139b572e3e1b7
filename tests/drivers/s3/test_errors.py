"""What servers and the SDK say becomes typed errors, without a secret in them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError

from storagebus.drivers import errors
from storagebus.drivers.errors import Executed, StorageError
from storagebus.drivers.s3.errors import BY_CODE, BY_SDK_CLASS, BY_STATUS, typed

SECRET = "s3cr3t/key"


def said(code: str, status: int, message: str = "", **headers: str) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "R1",
                "HTTPHeaders": headers,
            },
        },
        "GetObject",
    )


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_code_has_its_class(code: str) -> None:
    meaning = BY_CODE[code]
    error = typed(said(code, 400), "/a")
    assert type(error) is meaning.cls
    assert error.path == "/a" and code in str(error) and "R1" in str(error)


@pytest.mark.parametrize("status", sorted(BY_STATUS))
def test_a_bare_status_is_enough(status: int) -> None:
    assert type(typed(said(str(status), status))) is BY_STATUS[status].cls


@pytest.mark.parametrize(
    ("error", "kind", "temporary", "executed"),
    [
        (said("SlowDown", 503), errors.ThrottledError, True, Executed.NO),
        (said("InternalError", 500), errors.UnavailableError, True, Executed.MAYBE),
        (said("Strange", 502), errors.UnavailableError, True, Executed.MAYBE),
        (said("Strange", 418), StorageError, False, Executed.NO),
        (said("NoSuchBucket", 404), errors.UnavailableError, False, Executed.NO),
        (said("ExpiredToken", 400), errors.AccessDeniedError, False, Executed.NO),
        (said("BadDigest", 400), errors.DataLossError, True, Executed.NO),
        (
            exceptions.EndpointConnectionError(endpoint_url="http://x"),
            errors.UnavailableError, True, Executed.NO,
        ),
        (
            exceptions.ReadTimeoutError(endpoint_url="http://x"),
            errors.UnavailableError, True, Executed.MAYBE,
        ),
        (
            exceptions.NoCredentialsError(),
            errors.AccessDeniedError, False, Executed.NO,
        ),
        (ConnectionResetError(), errors.UnavailableError, True, Executed.MAYBE),
        (ZeroDivisionError("x"), StorageError, False, Executed.MAYBE),
    ],
)  # fmt: skip
def test_whether_to_retry(
    error: Exception, kind: type[StorageError], temporary: bool, executed: Executed
) -> None:
    found = typed(error)
    assert (type(found), found.temporary, found.executed) == (kind, temporary, executed)


def test_every_class_of_the_sdk_exists() -> None:
    """A misspelt name would never be found."""
    import botocore.httpchecksum

    for name in BY_SDK_CLASS:
        known = hasattr(exceptions, name) or hasattr(botocore.httpchecksum, name)
        assert known, name


def test_a_retry_after_is_passed_on() -> None:
    headers: Any = {"retry-after": "7"}
    assert typed(said("SlowDown", 503, **headers)).retry_after_s == 7
    headers = {"retry-after": "soon"}
    assert typed(said("SlowDown", 503, **headers)).retry_after_s is None


def test_no_secret_in_a_message() -> None:
    quoted = f"you sent {SECRET}"
    for status in (400, 401, 403, 500):
        text = str(typed(said("Odd", status, quoted), secrets=[SECRET]))
        assert SECRET not in text
    error = exceptions.ParamValidationError(report=quoted)
    text = str(typed(error, secrets=[SECRET]))
    assert SECRET not in text and "***" in text


def test_typed_errors_stay_and_learn_their_path() -> None:
    error = errors.PathConflictError("x")
    assert typed(error, "/p") is error and error.path == "/p"

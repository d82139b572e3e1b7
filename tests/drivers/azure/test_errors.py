"""Errors of the SDK and of servers, and what they mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from storagebus.drivers import errors
from storagebus.drivers.azure.errors import BY_CODE, BY_STATUS, BrokenBodyError, typed
from storagebus.drivers.errors import Executed


class Response:
    reason = "Because"

    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}


def answered(status: int, code: str = "", **headers: str) -> HttpResponseError:
    error = HttpResponseError(
        "prose with sig=SECRET", response=Response(status, **headers)
    )
    error.error_code = code  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("status", "code", "kind", "temporary"),
    [
        (404, "BlobNotFound", errors.PathNotFoundError, False),
        (404, "", errors.PathNotFoundError, False),
        (404, "ContainerNotFound", errors.UnavailableError, False),
        (409, "ContainerBeingDeleted", errors.UnavailableError, True),
        (403, "AuthenticationFailed", errors.AccessDeniedError, False),
        (403, "AuthorizationPermissionMismatch", errors.AccessDeniedError, False),
        (412, "LeaseIdMissing", errors.AccessDeniedError, False),
        (412, "ConditionNotMet", errors.PreconditionError, False),
        (409, "BlobAlreadyExists", errors.PreconditionError, False),
        (400, "InvalidBlockList", errors.PreconditionError, True),
        (409, "InvalidBlobType", errors.PathConflictError, False),
        (403, "CannotVerifyCopySource", errors.UnsupportedMethodError, False),
        (404, "CannotVerifyCopySource", errors.PathNotFoundError, False),
        (400, "Md5Mismatch", errors.DataLossError, True),
        (416, "InvalidRange", errors.InvalidOffsetError, False),
        (413, "RequestBodyTooLarge", errors.TooLargeError, False),
        (503, "ServerBusy", errors.ThrottledError, True),
        (429, "", errors.ThrottledError, True),
        (500, "OperationTimedOut", errors.UnavailableError, True),
        (502, "", errors.UnavailableError, True),
        (400, "SomethingNew", errors.StorageError, False),
    ],
)
def test_answers(
    status: int, code: str, kind: type[errors.StorageError], temporary: bool
) -> None:
    found = typed(answered(status, code, x_ms_request_id="r-1"), "/a")
    assert type(found) is kind
    assert found.temporary is temporary
    assert found.path == "/a"
    assert "SECRET" not in str(found)
    assert str(status) in str(found)
    assert "r-1" in str(found)


@pytest.mark.parametrize(
    ("error", "kind", "executed"),
    [
        (ServiceRequestError("x"), errors.UnavailableError, Executed.NO),
        (ServiceResponseError("x"), errors.UnavailableError, Executed.MAYBE),
        (IncompleteReadError("x"), BrokenBodyError, Executed.MAYBE),
        (ClientAuthenticationError("x"), errors.AccessDeniedError, Executed.NO),
        (ConnectionResetError(), BrokenBodyError, Executed.MAYBE),
        (KeyError("x"), errors.StorageError, Executed.MAYBE),
    ],
)
def test_without_an_answer(
    error: Exception, kind: type[errors.StorageError], executed: Executed
) -> None:
    found = typed(error)
    assert type(found) is kind
    assert found.executed is executed


def test_a_typed_error_stays_and_learns_its_path() -> None:
    error = errors.DataLossError("x")
    assert typed(error, "/a") is error
    assert error.path == "/a"


def test_when_to_retry_is_passed_on_within_a_bound() -> None:
    assert typed(answered(503, "ServerBusy", retry_after="7")).retry_after_s == 7.0
    assert typed(answered(503, retry_after="99999999")).retry_after_s == 3600.0
    assert typed(answered(503, retry_after="tomorrow")).retry_after_s is None


def test_every_meaning_is_a_class_of_its_own_and_keeps_its_advice() -> None:
    for meaning in (*BY_CODE.values(), *BY_STATUS.values()):
        assert issubclass(meaning.cls, errors.StorageError)


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "credentials"), (20, "clocks"), (-20, "clocks")]
)
def test_a_refusal_by_a_service_with_another_time_says_so(
    minutes: int, words: str
) -> None:
    there = datetime.now(UTC) + timedelta(minutes=minutes)
    found = typed(answered(403, "AuthenticationFailed", date=format_datetime(there)))
    assert type(found) is errors.AccessDeniedError
    assert words in str(found)


def test_an_expired_secret_is_told_by_the_code_of_the_token_service() -> None:
    said = "AADSTS7000222: The provided client secret keys for SECRET are expired."
    found = typed(ClientAuthenticationError(said))
    assert "expired" in str(found) and "AADSTS7000222" in str(found)
    assert "SECRET" not in str(found)
    found = typed(ClientAuthenticationError("AADSTS7000215: Invalid client secret"))
    assert "expired" not in str(found) and "AADSTS7000215" in str(found)
